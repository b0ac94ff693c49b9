//! `/v1/receipts`: what an owner's connections were used for, to be verified by the owner.
use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use dauth_protocol::{Code, Handle, audit::ReceiptsPage};
use http::{HeaderMap, Method, Uri};
use serde::Deserialize;

use crate::{api_error::ApiError, app::App, clock, owner, store::PageQuery};

/// The route.
pub(crate) const PATH: &str = "/v1/receipts";
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    handle: Option<Handle>,
    after: Option<Cursor>,
    limit: Option<u32>,
}

/// `GET /v1/receipts[?handle=][&after=][&limit=]`: an owner's receipts, the oldest first, also of
/// connections that are revoked.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ReceiptsPage>, ApiError> {
    let owner = owner::authenticate(&app, &method, &uri, &headers, clock::now_s())?;
    let query = parameters
        .ok()
        .and_then(|Query(parameters)| parameters.check())
        .ok_or_else(|| {
            ApiError::refused(
                Code::InvalidRequest,
                "the query takes handle, after (as `next` gave it) and limit (1 to 500)",
            )
        })?;
    let page = app.store.receipts(&owner.subject, &query).await?;
    Ok(Json(ReceiptsPage {
        receipts: page.receipts,
        batches: page.batches,
        next: page.next.map(|id| Cursor(id).into()),
    }))
}

impl Parameters {
    fn check(self) -> Option<PageQuery> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        (1..=MAX_LIMIT).contains(&limit).then_some(PageQuery {
            handle: self.handle,
            after: self.after.map_or(0, |Cursor(id)| id),
            limit,
        })
    }
}

/// How far a page went. Whoever makes one up comes to other receipts of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Cursor(i64);

impl From<Cursor> for String {
    fn from(Cursor(id): Cursor) -> Self {
        format!("{id:016x}")
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        let is_cursor = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = i64::from_str_radix(&text, 16).ok();
        id.filter(|_| is_cursor).map(Self).ok_or(InvalidCursor)
    }
}

/// Not what a page gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
struct InvalidCursor;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_a_page_gave() {
        for id in [0, 1, 77, i64::MAX] {
            let text = String::from(Cursor(id));
            assert_eq!(Cursor::try_from(text), Ok(Cursor(id)));
        }
        for text in [
            "",
            "1",
            "-000000000000001",
            "+000000000000001",
            "8000000000000000",
        ] {
            assert_eq!(
                Cursor::try_from(text.to_owned()),
                Err(InvalidCursor),
                "{text}"
            );
        }
    }
}
