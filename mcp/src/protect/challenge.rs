//! How a resource refuses (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1).
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dauth_token::{CredentialsError, ProofError, ReplayError, TokenError};
use serde_json::json;

use super::ProtectedResource;
use crate::IssuerError;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{0}")]
    Issuer(IssuerError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the DPoP proof needs the nonce that this reply carries")]
    Nonce,
    #[error(transparent)]
    Replay(ReplayError),
    #[error("the access token lacks a scope that this resource needs")]
    Scope,
}

impl From<IssuerError> for Refusal {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Token(error) => Refusal::Token(error),
            error => Refusal::Issuer(error),
        }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Issuer(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Replay(ReplayError::Full | ReplayError::Quota) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Refusal::Scope => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The OAuth error code; none where no credential was shown (RFC 6750 section 3.1).
    fn error(&self) -> Option<&'static str> {
        match self {
            Refusal::Credentials(CredentialsError::NoAuthorization) => None,
            Refusal::Credentials(CredentialsError::NoProof) | Refusal::Proof(_) => {
                Some("invalid_dpop_proof")
            }
            Refusal::Replay(_) => Some("invalid_dpop_proof"),
            Refusal::Credentials(_) | Refusal::Token(_) => Some("invalid_token"),
            Refusal::Nonce => Some("use_dpop_nonce"),
            Refusal::Scope => Some("insufficient_scope"),
            Refusal::Issuer(_) => Some("temporarily_unavailable"),
        }
    }

    pub(super) fn into_response(self, resource: &ProtectedResource) -> Response {
        // An issuer's failure is ours to log, not the caller's to read.
        let description = match &self {
            Refusal::Issuer(_) => "the issuer's keys cannot be fetched; try again later".to_owned(),
            refusal => refusal.to_string(),
        };
        let error = self.error();
        let body = json!({ "error": error, "error_description": description });
        let mut response = (self.status(), axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(
            self.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            let challenge = challenge(resource, error, &description);
            if let Ok(value) = HeaderValue::from_str(&challenge) {
                headers.insert(header::WWW_AUTHENTICATE, value);
            }
        }
        response
    }
}

fn challenge(resource: &ProtectedResource, error: Option<&str>, description: &str) -> String {
    let mut challenge = format!(
        "DPoP resource_metadata=\"{}\", algs=\"ES256 EdDSA\"",
        resource.resource.metadata_url()
    );
    if !resource.scopes.is_empty() {
        challenge.push_str(&format!(
            ", scope=\"{}\"",
            quotable(&resource.scopes.join(" "))
        ));
    }
    if let Some(error) = error {
        let description = quotable(description);
        challenge.push_str(&format!(
            ", error=\"{error}\", error_description=\"{description}\""
        ));
    }
    challenge
}

/// RFC 6750 section 3: printable ASCII without quote and backslash.
fn quotable(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    text.chars()
        .map(|c| if allowed(c) { c } else { '\'' })
        .collect()
}
