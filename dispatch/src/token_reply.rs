//! What a token endpoint answers.
use std::time::Duration;

use serde::Deserialize;

use crate::{
    AccessToken, DiscoveryError, ProofError,
    web::{Reply, WebError},
};

/// `use_dpop_nonce` of RFC 9449 section 8.
pub(crate) const USE_DPOP_NONCE: &str = "use_dpop_nonce";
/// The longest part of a peer's text that is kept for a message.
const MAX_TEXT_CHARS: usize = 500;

/// An error reply of an authorization server (RFC 6749 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OAuthError {
    /// The error code, such as `invalid_client`.
    pub error: String,
    /// The server's explanation.
    #[serde(default, rename = "error_description")]
    pub description: Option<String>,
}

impl OAuthError {
    /// The error of a reply's body, if it is one.
    pub fn from_json(body: &[u8]) -> Option<Self> {
        let error: Self = serde_json::from_slice(body).ok()?;
        let cut = |text: String| text.chars().take(MAX_TEXT_CHARS).collect();
        Some(Self {
            error: cut(error.error),
            description: error.description.map(cut),
        })
    }
}

impl core::fmt::Display for OAuthError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // What a peer wrote is printed without what could move a terminal's cursor.
        write!(f, "{}", self.error.escape_debug())?;
        match &self.description {
            Some(description) => write!(f, ": {}", description.escape_debug()),
            None => Ok(()),
        }
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The issuer's token endpoint is not known.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The exchange itself failed.
    #[error(transparent)]
    Web(#[from] WebError),
    /// No proof could be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The authorization server refused.
    #[error("the authorization server refused: {0}")]
    Refused(OAuthError),
    /// Neither a token nor an OAuth error.
    #[error("the token endpoint answered with status {0} and no OAuth error")]
    Status(u16),
    /// A success that is no token reply.
    #[error("the token endpoint's answer is malformed")]
    Malformed,
    /// The token is not bound to our key: anyone who sees it could use it.
    #[error("the token endpoint issued a token of type {0:?}, not a DPoP-bound one")]
    NotBound(String),
}

impl TokenError {
    /// The OAuth error code, when the authorization server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            TokenError::Refused(error) => Some(&error.error),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    scope: Option<String>,
}

/// Reads a reply. Only 200 is success (RFC 6749 section 5.1).
pub(crate) fn read(reply: &Reply) -> Result<AccessToken, TokenError> {
    if reply.status != 200 {
        return Err(match OAuthError::from_json(&reply.body) {
            Some(error) => TokenError::Refused(error),
            None => TokenError::Status(reply.status),
        });
    }
    let issued: Issued = serde_json::from_slice(&reply.body).map_err(|_| TokenError::Malformed)?;
    if !issued.token_type.eq_ignore_ascii_case("DPoP") {
        let kind = issued.token_type.chars().take(32).collect();
        return Err(TokenError::NotBound(kind));
    }
    let life = issued.expires_in.map(Duration::from_secs);
    Ok(AccessToken::issued(issued.access_token, issued.scope, life))
}

/// Whether a reply asks for the nonce that it carries.
pub(crate) fn wants_nonce(reply: &Reply) -> bool {
    matches!(reply.status, 400 | 401)
        && OAuthError::from_json(&reply.body).is_some_and(|error| error.error == USE_DPOP_NONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            headers: http::HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn reads_a_bound_token_and_no_other() {
        let token = reply(
            200,
            r#"{"access_token":"t","token_type":"dpop","expires_in":60}"#,
        );
        assert_eq!(read(&token).unwrap().expose(), "t");
        let bearer = reply(200, r#"{"access_token":"t","token_type":"Bearer"}"#);
        assert!(matches!(read(&bearer), Err(TokenError::NotBound(_))));
        let created = reply(201, r#"{"access_token":"t","token_type":"DPoP"}"#);
        assert!(matches!(read(&created), Err(TokenError::Status(201))));
        assert!(matches!(
            read(&reply(200, "{}")),
            Err(TokenError::Malformed)
        ));
    }

    #[test]
    fn keeps_code_and_description() {
        let body = r#"{"error":"invalid_target","error_description":"not yours\u001b[2J"}"#;
        let error = read(&reply(400, body)).unwrap_err();
        assert_eq!(error.code(), Some("invalid_target"));
        assert_eq!(
            error.to_string(),
            "the authorization server refused: invalid_target: not yours\\u{1b}[2J"
        );
    }

    #[test]
    fn only_its_own_code_asks_for_a_nonce() {
        assert!(wants_nonce(&reply(400, r#"{"error":"use_dpop_nonce"}"#)));
        assert!(!wants_nonce(&reply(400, r#"{"error":"invalid_client"}"#)));
        assert!(!wants_nonce(&reply(200, r#"{"error":"use_dpop_nonce"}"#)));
    }
}
