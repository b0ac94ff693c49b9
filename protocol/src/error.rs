//! Why DAuth refused, as a caller sees it.
use serde::{Deserialize, Serialize};

/// The code of a refusal: the `DAuth-Error` header and the `code` of the problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The request is malformed, or asks for what no policy could allow.
    InvalidRequest,
    /// The token or its proof does not verify.
    InvalidToken,
    /// The proof lacks a current nonce of this enclave; the reply carries one.
    UseDpopNonce,
    /// The sealed policy does not allow the call. Nothing was dialled.
    PolicyDenied,
    /// Token and record belong to different tenants.
    OrgMismatch,
    /// No such connection for this caller.
    ConnectionNotFound,
    /// The owner revoked the connection.
    ConnectionRevoked,
    /// The connection, or its policy, is past its expiry.
    ConnectionExpired,
    /// A quota is used up.
    LimitExceeded,
    /// The record does not open: altered, replaced, or sealed under another keyset.
    DecryptionFailed,
    /// The upstream's reply cannot be passed on safely.
    ResponseRefused,
    /// The upstream cannot be reached.
    DownstreamUnreachable,
    /// The upstream's certificate does not verify.
    DownstreamTlsError,
    /// The credential's own token endpoint refused it.
    DownstreamAuthFailure,
    /// The credential's own token endpoint asks to slow down.
    DownstreamRateLimited,
    /// The enclave, or what it needs, is not available.
    EnclaveUnavailable,
    /// The upstream did not answer in time.
    DownstreamTimeout,
}

impl Code {
    /// Every code, in the order of its status.
    pub const ALL: [Code; 17] = [
        Code::InvalidRequest,
        Code::InvalidToken,
        Code::UseDpopNonce,
        Code::PolicyDenied,
        Code::OrgMismatch,
        Code::ConnectionNotFound,
        Code::ConnectionRevoked,
        Code::ConnectionExpired,
        Code::LimitExceeded,
        Code::DecryptionFailed,
        Code::ResponseRefused,
        Code::DownstreamUnreachable,
        Code::DownstreamTlsError,
        Code::DownstreamAuthFailure,
        Code::DownstreamRateLimited,
        Code::EnclaveUnavailable,
        Code::DownstreamTimeout,
    ];

    /// The code as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidRequest => "INVALID_REQUEST",
            Code::InvalidToken => "INVALID_TOKEN",
            Code::UseDpopNonce => "USE_DPOP_NONCE",
            Code::PolicyDenied => "POLICY_DENIED",
            Code::OrgMismatch => "ORG_MISMATCH",
            Code::ConnectionNotFound => "CONNECTION_NOT_FOUND",
            Code::ConnectionRevoked => "CONNECTION_REVOKED",
            Code::ConnectionExpired => "CONNECTION_EXPIRED",
            Code::LimitExceeded => "LIMIT_EXCEEDED",
            Code::DecryptionFailed => "DECRYPTION_FAILED",
            Code::ResponseRefused => "RESPONSE_REFUSED",
            Code::DownstreamUnreachable => "DOWNSTREAM_UNREACHABLE",
            Code::DownstreamTlsError => "DOWNSTREAM_TLS_ERROR",
            Code::DownstreamAuthFailure => "DOWNSTREAM_AUTH_FAILURE",
            Code::DownstreamRateLimited => "DOWNSTREAM_RATE_LIMITED",
            Code::EnclaveUnavailable => "ENCLAVE_UNAVAILABLE",
            Code::DownstreamTimeout => "DOWNSTREAM_TIMEOUT",
        }
    }

    /// The code of a `DAuth-Error` header.
    pub fn from_header(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The HTTP status that goes with the code.
    pub const fn status(self) -> u16 {
        match self {
            Code::InvalidRequest => 400,
            Code::InvalidToken | Code::UseDpopNonce => 401,
            Code::PolicyDenied | Code::OrgMismatch => 403,
            Code::ConnectionNotFound => 404,
            Code::ConnectionRevoked | Code::ConnectionExpired => 410,
            Code::LimitExceeded => 429,
            Code::DecryptionFailed => 500,
            Code::ResponseRefused
            | Code::DownstreamUnreachable
            | Code::DownstreamTlsError
            | Code::DownstreamAuthFailure
            | Code::DownstreamRateLimited => 502,
            Code::EnclaveUnavailable => 503,
            Code::DownstreamTimeout => 504,
        }
    }

    /// Whether the same request may succeed later, unchanged.
    ///
    /// An upper bound: after [`Code::DownstreamUnreachable`] and [`Code::DownstreamTimeout`] the
    /// upstream may have acted, so the enclave's problem document says yes for idempotent methods
    /// alone (RFC 9110 section 9.2.2).
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Code::UseDpopNonce
                | Code::LimitExceeded
                | Code::DownstreamUnreachable
                | Code::DownstreamRateLimited
                | Code::EnclaveUnavailable
                | Code::DownstreamTimeout
        )
    }

    /// The code in one sentence, without anything of the request.
    pub const fn title(self) -> &'static str {
        match self {
            Code::InvalidRequest => "The request is malformed.",
            Code::InvalidToken => "The access token or its DPoP proof does not verify.",
            Code::UseDpopNonce => "The DPoP proof needs the nonce that this reply carries.",
            Code::PolicyDenied => "The connection's sealed policy does not allow this call.",
            Code::OrgMismatch => "The token and the connection belong to different tenants.",
            Code::ConnectionNotFound => "There is no such connection for this caller.",
            Code::ConnectionRevoked => "The owner has revoked the connection.",
            Code::ConnectionExpired => "The connection has expired.",
            Code::LimitExceeded => "A limit is used up; try again later.",
            Code::DecryptionFailed => {
                "The connection's record does not open; it was altered or replaced."
            }
            Code::ResponseRefused => "The upstream's reply could not be passed on safely.",
            Code::DownstreamUnreachable => "The upstream cannot be reached.",
            Code::DownstreamTlsError => "The upstream's certificate does not verify.",
            Code::DownstreamAuthFailure => "The credential's token endpoint refused it.",
            Code::DownstreamRateLimited => "The credential's token endpoint asks to slow down.",
            Code::EnclaveUnavailable => "The enclave is not available; try again later.",
            Code::DownstreamTimeout => "The upstream did not answer in time.",
        }
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem document (RFC 9457) for an error of DAuth's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: the code says which problem it is.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// [`Code::title`].
    pub title: String,
    /// [`Code::status`].
    pub status: u16,
    /// Which problem.
    pub code: Code,
    /// [`Code::retryable`], or no where repeating the request could do it twice.
    pub retryable: bool,
    /// What exactly was wrong, where that helps the caller and tells nobody else's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// The media type of the JSON form.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// The problem of a code; `detail` is written by DAuth, never taken from a library or a peer.
    pub fn new(code: Code, detail: Option<&str>) -> Self {
        Self {
            kind: about_blank(),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            retryable: code.retryable(),
            detail: detail.map(str::to_owned),
        }
    }

    /// The JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_spelt_alike_in_header_and_document() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
            assert_eq!(Code::from_header(code.as_str()), Some(code));
            assert!(code.title().ends_with('.'));
        }
        assert_eq!(Code::from_header("invalid_request"), None);
    }
}
