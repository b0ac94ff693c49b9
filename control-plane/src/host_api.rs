//! `GET /internal/records/{fingerprint}`: records for the parent, which passes them to the enclave.
use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dauth_protocol::Fingerprint;
use http::{HeaderMap, StatusCode, header};

use crate::app::App;

/// The route.
pub(crate) const PATH: &str = "/internal/records/{fingerprint}";

/// 200 with the record as it is stored, 404, or 410 when it is revoked.
///
/// The fingerprint is looked up in its own column and the bytes are not hashed here: if the
/// database was tampered with, it is the enclave that must notice.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(fingerprint): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !is_host(&app, &headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"dauth host\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let Ok(fingerprint) = fingerprint.parse::<Fingerprint>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match app.store.record(&fingerprint).await {
        Ok(Some(record)) if record.is_revoked => StatusCode::GONE.into_response(),
        Ok(Some(record)) => {
            let fields = [
                (header::CONTENT_TYPE, "application/cose"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (fields, record.bytes).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "the store failed");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn is_host(app: &App, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    field
        .to_str()
        .ok()
        .and_then(|field| field.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .is_some_and(|(_, credential)| app.is_host_credential(credential))
}
