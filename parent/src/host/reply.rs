//! Replies of host services.
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

pub(crate) type Reply = Response<Full<Bytes>>;

pub(super) const OCTETS: &str = "application/octet-stream";

/// RFC 9457. These problems are the enclave's alone to read; it answers its callers with codes of
/// its own.
#[derive(Serialize)]
struct HostProblem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

pub(crate) fn problem(status: StatusCode, detail: &str) -> Reply {
    let problem = HostProblem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    reply(status, body, "application/problem+json")
}

pub(super) fn json<T: Serialize>(value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(body, "application/json"),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the reply does not serialize",
        ),
    }
}

pub(crate) fn bytes(body: impl Into<Bytes>, media_type: &'static str) -> Reply {
    reply(StatusCode::OK, body, media_type)
}

pub(super) fn status(status: StatusCode) -> Reply {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn reply(status: StatusCode, body: impl Into<Bytes>, media_type: &'static str) -> Reply {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
