//! The sealed keyset, its orders and their outcomes, over HTTP.
use bytes::Bytes;
use dauth_protocol::{
    host::{OrderOutcome, keyset_tag},
    limit::MAX_KEYSET_BYTES,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;

use super::{OCTETS, Reply, bytes, collect, json, problem, status};
use crate::metrics::Metrics;

mod file;
mod order;

pub(super) use file::read;
pub use file::{KeysetFile, Stored};
pub use order::MAX_ORDER_BYTES;

impl KeysetFile {
    pub(super) async fn reply(&self, request: &HeaderMap) -> Reply {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.read()).await {
            Ok(Ok(Some(keyset))) => {
                let tag = keyset_tag(&keyset);
                let mut reply = if is_known(request, &tag) {
                    status(StatusCode::NOT_MODIFIED)
                } else {
                    bytes(keyset, OCTETS)
                };
                if let Ok(tag) = HeaderValue::try_from(tag) {
                    reply.headers_mut().insert(header::ETAG, tag);
                }
                reply
            }
            Ok(Ok(None)) => problem(StatusCode::NOT_FOUND, "there is no keyset"),
            Ok(Err(error)) => {
                tracing::error!("cannot read the keyset {}: {error}", self.path().display());
                problem(StatusCode::SERVICE_UNAVAILABLE, "the keyset cannot be read")
            }
            Err(_) => interrupted(),
        }
    }

    pub(super) async fn put(&self, request: Request<Incoming>, metrics: &Metrics) -> Reply {
        let condition = match Condition::of(request.headers()) {
            Ok(condition) => condition,
            Err(error) => return problem(error.status(), &error.to_string()),
        };
        let keyset = match collect(request, MAX_KEYSET_BYTES).await {
            Ok(keyset) => keyset,
            Err(refusal) => return refusal,
        };
        self.put_when(condition, keyset, metrics).await
    }

    async fn put_when(&self, condition: Condition, keyset: Bytes, metrics: &Metrics) -> Reply {
        let this = self.clone();
        let done = condition.done();
        let stored = tokio::task::spawn_blocking(move || match condition {
            Condition::Absent => this.create(&keyset),
            Condition::Is(tag) => this.replace(&tag, &keyset),
        });
        match stored.await {
            Ok(Ok(Stored::New)) => {
                Metrics::add(&metrics.keyset_changes);
                tracing::info!("stored a keyset in {}", self.path().display());
                status(done)
            }
            Ok(Ok(Stored::Conflict)) => {
                Metrics::add(&metrics.keyset_conflicts);
                problem(
                    StatusCode::PRECONDITION_FAILED,
                    "the keyset is not what the condition says",
                )
            }
            Ok(Err(error)) => {
                tracing::error!("cannot store the keyset {}: {error}", self.path().display());
                problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the keyset cannot be stored",
                )
            }
            Err(_) => interrupted(),
        }
    }

    pub(super) async fn order_reply(&self) -> Reply {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.order()).await {
            Ok(order) => json(&order),
            Err(_) => interrupted(),
        }
    }

    pub(super) async fn take_outcome(&self, request: Request<Incoming>) -> Reply {
        let body = match collect(request, MAX_ORDER_BYTES).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let Ok(outcome) = serde_json::from_slice::<OrderOutcome>(&body) else {
            return problem(StatusCode::BAD_REQUEST, "not the outcome of an order");
        };
        let (id, result, generation) = (outcome.id.clone(), outcome.result, outcome.generation);
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.record_outcome(&outcome)).await {
            Ok(Ok(())) => {
                tracing::info!(id, ?result, generation, "outcome of an order");
                status(StatusCode::NO_CONTENT)
            }
            Ok(Err(error)) => {
                tracing::error!("cannot store the outcome of order {id}: {error}");
                problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the outcome cannot be stored",
                )
            }
            Err(_) => interrupted(),
        }
    }
}

/// On what condition a keyset is stored (RFC 9110 section 13.1). There is always one: an
/// unconditional write could replace the only copy of a key.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: <tag>`
    Is(String),
}

/// Why there is no condition to store a keyset on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ConditionError {
    /// None at all.
    #[error("a keyset is stored with If-None-Match: * or If-Match")]
    Missing,
    /// Several, or another.
    #[error("exactly one condition: If-None-Match: *, or If-Match with one strong tag")]
    NotOne,
}

impl ConditionError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Missing => StatusCode::PRECONDITION_REQUIRED,
            Self::NotOne => StatusCode::BAD_REQUEST,
        }
    }
}

impl Condition {
    fn of(headers: &HeaderMap) -> Result<Self, ConditionError> {
        let absent = only(headers, header::IF_NONE_MATCH)?;
        let is = only(headers, header::IF_MATCH)?;
        match (absent, is) {
            (None, None) => Err(ConditionError::Missing),
            (Some("*"), None) => Ok(Self::Absent),
            (None, Some(tag)) if is_strong_tag(tag) => Ok(Self::Is(tag.to_owned())),
            _ => Err(ConditionError::NotOne),
        }
    }

    fn done(&self) -> StatusCode {
        match self {
            Self::Absent => StatusCode::CREATED,
            Self::Is(_) => StatusCode::NO_CONTENT,
        }
    }
}

fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ConditionError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ConditionError::NotOne),
        (Some(_), Some(_)) => Err(ConditionError::NotOne),
    }
}

/// RFC 9110 section 8.8.3, one of them, not weak.
fn is_strong_tag(text: &str) -> bool {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .is_some_and(|tag| !tag.is_empty() && !tag.contains(['"', ',']))
}

/// RFC 9110 section 13.1.2: a list of tags, compared weakly.
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn interrupted() -> Reply {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request was interrupted",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: HeaderName = header::IF_NONE_MATCH;
    const IS: HeaderName = header::IF_MATCH;

    fn condition(fields: &[(HeaderName, &str)]) -> Result<Condition, ConditionError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        Condition::of(&headers)
    }

    #[test]
    fn there_is_exactly_one_condition() {
        assert_eq!(condition(&[(ABSENT, "*")]), Ok(Condition::Absent));
        let tag = Condition::Is("\"aa\"".to_owned());
        assert_eq!(condition(&[(IS, "\"aa\"")]), Ok(tag));
        assert_eq!(condition(&[]), Err(ConditionError::Missing));
        for wrong in [
            vec![(ABSENT, "*"), (IS, "\"aa\"")],
            vec![(ABSENT, "*"), (ABSENT, "*")],
            vec![(IS, "\"aa\""), (IS, "\"bb\"")],
            vec![(ABSENT, "\"aa\"")],
            vec![(IS, "*")],
            vec![(IS, "aa")],
            vec![(IS, "\"\"")],
            vec![(IS, "W/\"aa\"")],
            vec![(IS, "\"aa\", \"bb\"")],
        ] {
            let refused = condition(&wrong);
            assert_eq!(refused, Err(ConditionError::NotOne), "{wrong:?}");
        }
    }

    #[test]
    fn a_known_keyset_is_recognized() {
        for (sent, known) in [
            ("\"aa\"", true),
            ("W/\"aa\"", true),
            ("\"bb\", \"aa\"", true),
            ("*", true),
            ("\"bb\"", false),
            ("aa", false),
        ] {
            let headers = [(header::IF_NONE_MATCH, sent.parse().unwrap())];
            let headers: HeaderMap = headers.into_iter().collect();
            assert_eq!(is_known(&headers, "\"aa\""), known, "{sent}");
        }
    }
}
