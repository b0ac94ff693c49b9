//! The JSON of `POST /dispatch`, either way.
use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dauth_dispatch::CallError;
use dauth_protocol::{
    Code,
    limit::{DEFAULT_MAX_RESPONSE_BYTES, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Call, DispatchError};

#[derive(Deserialize)]
struct Request {
    connection_handle: String,
    request: Inner,
}

#[derive(Deserialize)]
struct Inner {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) call: Call,
    pub(super) timeout: Duration,
}

/// Why a body is no dispatch.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the body is not {{connection_handle, request: {{method, path, …}}}} ({0})")]
    Json(#[from] serde_json::Error),
    #[error("the method is not one")]
    Method,
    #[error("the header {0:?} is not one, or its value is none")]
    Header(String),
    #[error("timeout_ms must be from 1 to {MAX_TIMEOUT_MS}")]
    Timeout,
}

impl Dispatch {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let Request {
            connection_handle,
            request,
        } = serde_json::from_slice(body)?;
        let timeout_ms = request.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(Malformed::Timeout);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers.unwrap_or_default() {
            let parsed = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
            let (Ok(parsed), Ok(value)) = parsed else {
                return Err(Malformed::Header(name));
            };
            headers.append(parsed, value);
        }
        let body = outgoing_body(request.body, &mut headers)?;
        let call = Call {
            connection: connection_handle,
            method: Method::from_bytes(request.method.as_bytes()).map_err(|_| Malformed::Method)?,
            path_and_query: request.path,
            headers,
            body,
        };
        let timeout = Duration::from_millis(timeout_ms);
        Ok(Self { call, timeout })
    }
}

/// Text goes as it is; anything else goes as JSON, and says so unless the deployment says otherwise.
fn outgoing_body(body: Value, headers: &mut HeaderMap) -> Result<Bytes, Malformed> {
    match body {
        Value::Null => Ok(Bytes::new()),
        Value::String(text) => Ok(text.into()),
        value => {
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            Ok(serde_json::to_vec(&value)?.into())
        }
    }
}

/// The reply.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<UpstreamResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject>,
}

#[derive(Debug, Serialize)]
struct UpstreamResponse {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
    /// `base64` when the body is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_encoding: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ErrorObject {
    code: Code,
    message: String,
    retryable: bool,
}

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallFailed {
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    #[error("the call took longer than its timeout_ms")]
    TimedOut,
    #[error("the upstream's reply broke off, or is too large")]
    Body,
}

/// A call that has no reply.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) why: CallFailed,
    pub(super) method: Method,
}

impl CallFailed {
    pub(super) fn code(&self) -> Code {
        match self {
            CallFailed::Dispatch(error) => error.code(),
            CallFailed::TimedOut => Code::DownstreamTimeout,
            CallFailed::Body => Code::ResponseRefused,
        }
    }

    /// Whether the same call may be made again: where it may have been made already, only with a
    /// method that is idempotent (RFC 9110 section 9.2.2).
    fn retryable(&self, method: &Method) -> bool {
        match self {
            CallFailed::Dispatch(DispatchError::Call(CallError::Refused(refusal))) => {
                refusal.retryable
            }
            CallFailed::Dispatch(DispatchError::Call(CallError::Broken(_)))
            | CallFailed::TimedOut => self.code().retryable() && method.is_idempotent(),
            CallFailed::Dispatch(_) | CallFailed::Body => self.code().retryable(),
        }
    }
}

impl Outcome {
    /// A request that was not carried out.
    pub(super) fn refused(code: Code, message: &str) -> Self {
        Self::error(ErrorObject {
            code,
            message: message.to_owned(),
            retryable: code.retryable(),
        })
    }

    /// A call that has no reply.
    pub(super) fn failed(unanswered: &Unanswered) -> Self {
        let Unanswered { why, method } = unanswered;
        Self::error(ErrorObject {
            code: why.code(),
            message: why.to_string(),
            retryable: why.retryable(method),
        })
    }

    fn error(error: ErrorObject) -> Self {
        Self {
            success: false,
            response: None,
            error: Some(error),
        }
    }

    /// Reads the whole of an upstream's reply.
    pub(super) async fn of(response: Response<Incoming>) -> Result<Self, CallFailed> {
        let (parts, body) = response.into_parts();
        let max_bytes = usize::try_from(DEFAULT_MAX_RESPONSE_BYTES).unwrap_or(usize::MAX);
        let whole = Limited::new(body, max_bytes)
            .collect()
            .await
            .map_err(|_| CallFailed::Body)?;
        let (body, body_encoding) = incoming_body(&parts.headers, &whole.to_bytes());
        let response = UpstreamResponse {
            status: parts.status.as_u16(),
            headers: readable(&parts.headers),
            body,
            body_encoding,
        };
        Ok(Self {
            success: true,
            response: Some(response),
            error: None,
        })
    }
}

fn incoming_body(headers: &HeaderMap, bytes: &[u8]) -> (Value, Option<&'static str>) {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let is_json = media_type
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .is_some_and(|value| value == "application/json" || value.ends_with("+json"));
    if is_json && let Ok(value) = serde_json::from_slice(bytes) {
        return (value, None);
    }
    match core::str::from_utf8(bytes) {
        Ok("") => (Value::Null, None),
        Ok(text) => (text.into(), None),
        Err(_) => (STANDARD.encode(bytes).into(), Some("base64")),
    }
}

/// Fields of one name are joined by a comma (RFC 9110 section 5.3).
fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut readable: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        readable
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_made_is_made_again_by_idempotent_methods_alone() {
        let retryable = |method| {
            let why = CallFailed::TimedOut;
            let outcome = Outcome::failed(&Unanswered { why, method });
            serde_json::to_value(outcome).unwrap()["error"]["retryable"] == true
        };
        assert!(retryable(Method::GET) && retryable(Method::PUT));
        assert!(!retryable(Method::POST) && !retryable(Method::PATCH));
    }
}
