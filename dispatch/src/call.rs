//! A sealed call, and why it has no answer.
use bytes::Bytes;
use dauth_attested_tls::Body;
use dauth_protocol::{Code, Handle};
use http::{HeaderMap, HeaderName, Method, header::AUTHORIZATION, uri::PathAndQuery};

use crate::{DauthRefusal, ProofError, SessionError};

/// The field that carries a proof (RFC 9449 section 4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Fields of a caller's request that are the session's own: set by it, never taken over.
const OF_THE_SESSION: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The body of a call.
#[derive(Debug)]
pub enum CallBody {
    /// Bytes at hand. They can be sent a second time when the enclave asks for a newer nonce.
    Bytes(Bytes),
    /// A stream. It is sent once, after a fresh nonce was asked for where the last is not; if the
    /// enclave wants yet another, the refusal goes to the caller.
    Stream(Body),
}

/// A sealed call.
#[derive(Debug)]
pub struct CallRequest {
    /// Which connection.
    pub handle: Handle,
    /// The method.
    pub method: Method,
    /// The path below the connection's base URL, from its `/`, and the query; sent as it stands.
    pub path_and_query: String,
    /// Header fields for the upstream; the enclave passes those that it allows.
    pub headers: HeaderMap,
    /// The body.
    pub body: CallBody,
}

/// Why a request to the enclave has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no attested session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// DAuth refused.
    #[error(transparent)]
    Refused(#[from] DauthRefusal),
    /// No proof could be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The session broke. Whether the enclave acted on the request is not known.
    #[error("the session with the enclave broke, and the call may have been made: {0}")]
    Broken(#[source] hyper::Error),
    /// The path cannot be sent as it stands.
    #[error("the path must begin with / and hold no space and no fragment: {0:?}")]
    Path(String),
    /// A caller's own credential or proof for DAuth.
    #[error("the header {0} belongs to DAuth itself and cannot be set by a caller")]
    ReservedHeader(HeaderName),
    /// The access token holds what no header can carry.
    #[error("the access token cannot be sent: it holds characters that no header may hold")]
    Token,
    /// The enclave's answer is not the one that the request has.
    #[error("the enclave's answer is malformed")]
    Malformed,
}

impl CallError {
    /// The code, when DAuth refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            CallError::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

/// A caller's fields, without those of the session; DAuth's own are an error, not a silent loss.
pub(crate) fn passing(mut headers: HeaderMap) -> Result<HeaderMap, CallError> {
    for reserved in [AUTHORIZATION, DPOP] {
        if headers.contains_key(&reserved) {
            return Err(CallError::ReservedHeader(reserved));
        }
    }
    for name in OF_THE_SESSION {
        headers.remove(*name);
    }
    Ok(headers)
}

/// Where a call goes. `PathAndQuery` would drop a fragment without a word, so that is refused.
pub(crate) fn target(handle: &Handle, below: &str) -> Result<PathAndQuery, CallError> {
    let refused = || CallError::Path(below.to_owned());
    if !below.starts_with('/') || below.contains('#') {
        return Err(refused());
    }
    format!("/v1/connections/{handle}{below}")
        .parse()
        .map_err(|_| refused())
}
