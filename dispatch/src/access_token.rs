//! Access tokens on their way through a client.
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// A DPoP-bound access token. Its text is not printed.
#[derive(Clone)]
pub struct AccessToken {
    text: Zeroizing<String>,
    scope: Option<String>,
    expires: Option<Instant>,
}

impl AccessToken {
    /// A token that was obtained elsewhere.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            scope: None,
            expires: None,
        }
    }

    pub(crate) fn issued(text: String, scope: Option<String>, life: Option<Duration>) -> Self {
        Self {
            text: Zeroizing::new(text),
            scope,
            expires: life.and_then(|life| Instant::now().checked_add(life)),
        }
    }

    /// The token itself, to be sent and not to be logged.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// `Authorization: DPoP …` (RFC 9449 section 7.1), marked as sensitive.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("DPoP {}", self.expose()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The scope granted, when the issuer named it.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Whether the token is good for `margin` longer, as far as the issuer said.
    pub fn outlives(&self, margin: Duration) -> bool {
        self.expires
            .is_some_and(|expires| expires.saturating_duration_since(Instant::now()) > margin)
    }

    /// The claims of a token of one's own, *unverified*: whom it is presented to verifies them.
    pub fn unverified_claims<T: DeserializeOwned>(&self) -> Option<T> {
        let payload = self.text.split('.').nth(1)?;
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
        serde_json::from_slice(&json).ok()
    }
}

impl core::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AccessToken")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_nothing_of_the_token() {
        let token = AccessToken::new("eyJ.secret.part");
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn a_life_that_is_not_known_is_over() {
        assert!(!AccessToken::new("t").outlives(Duration::ZERO));
        let token = AccessToken::issued("t".into(), None, Some(Duration::from_secs(60)));
        assert!(token.outlives(Duration::from_secs(30)));
        assert!(!token.outlives(Duration::from_secs(90)));
        let huge = AccessToken::issued("t".into(), None, Some(Duration::MAX));
        assert!(!huge.outlives(Duration::ZERO));
    }

    #[test]
    fn reads_the_claims_of_a_jwt() {
        let token = AccessToken::new(format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"sub":"x"}"#)));
        let claims: serde_json::Value = token.unverified_claims().unwrap();
        assert_eq!(claims["sub"], "x");
        assert!(
            AccessToken::new("opaque")
                .unverified_claims::<serde_json::Value>()
                .is_none()
        );
    }
}
