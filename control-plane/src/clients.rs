//! Registered clients, and telling whether a caller is one (RFC 6749 section 2.3.1).
use std::collections::HashMap;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::form::{self, Form};

/// A registered client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret_sha256: [u8; 32],
    pub(crate) resource: Option<String>,
    pub(crate) org: String,
    pub(crate) scopes: Vec<String>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Clients {
    by_id: HashMap<String, Client>,
}

/// Why a caller is not recognised. Which of id and secret was wrong is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthenticationError {
    /// Two ways of authentication in one request.
    #[error("use one way of client authentication, not two")]
    TwoMethods,
    /// The `Authorization` field is no well-formed Basic credential.
    #[error("the Authorization field is malformed")]
    Malformed,
    /// None given, or not those of a client.
    #[error("client authentication failed")]
    Failed,
}

impl Clients {
    pub(crate) fn new(by_id: HashMap<String, Client>) -> Self {
        Self { by_id }
    }

    /// Whether a resource is some client's.
    pub(crate) fn has_resource(&self, resource: &str) -> bool {
        let mut clients = self.by_id.values();
        clients.any(|client| client.resource.as_deref() == Some(resource))
    }

    /// The client that a token request is by: `client_secret_basic` or `client_secret_post`.
    pub(crate) fn authenticate(
        &self,
        authorization: &[&[u8]],
        form: &Form,
    ) -> Result<&Client, AuthenticationError> {
        use AuthenticationError::{Failed, Malformed, TwoMethods};
        match (authorization, form.get("client_secret")) {
            ([], Some(secret)) => self.check(form.get("client_id").unwrap_or_default(), secret),
            ([], None) => Err(Failed),
            ([_], Some(_)) => Err(TwoMethods),
            ([field], None) => {
                let credentials = basic(field).ok_or(Malformed)?;
                let (raw_id, raw_secret) = credentials.split_once(':').ok_or(Malformed)?;
                // RFC 6749 section 2.3.1 has both form-encoded first; many clients do not. Each
                // reading is tried, whatever the other one gave, so that the time tells nothing.
                let id = form::decode(raw_id).unwrap_or_default();
                let secret = form::decode(raw_secret).unwrap_or_default();
                let (encoded, raw) = (self.check(&id, &secret), self.check(raw_id, raw_secret));
                let client = encoded.or(raw)?;
                match form.get("client_id") {
                    Some(other) if other != client.id => Err(TwoMethods),
                    _ => Ok(client),
                }
            }
            _ => Err(TwoMethods),
        }
    }

    /// An unknown id costs what a wrong secret does.
    fn check(&self, id: &str, secret: &str) -> Result<&Client, AuthenticationError> {
        let client = self.by_id.get(id);
        let expected = client.map_or([0; 32], |client| client.secret_sha256);
        let given = digest::digest(&digest::SHA256, secret.as_bytes());
        let is_equal = constant_time::verify_slices_are_equal(&expected, given.as_ref()).is_ok();
        match client {
            Some(client) if is_equal => Ok(client),
            _ => Err(AuthenticationError::Failed),
        }
    }
}

/// `Basic base64(id ":" secret)`, decoded.
fn basic(field: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(field).ok()?;
    let (scheme, credentials) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(credentials.trim()).ok()?;
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        let mut secret_sha256 = [0; 32];
        secret_sha256.copy_from_slice(digest::digest(&digest::SHA256, b"s:+ \xc3\xa9").as_ref());
        let client = Client {
            id: "a:b".into(),
            secret_sha256,
            resource: Some("https://mcp.example".into()),
            org: "o".into(),
            scopes: Vec::new(),
        };
        Clients::new([("a:b".to_owned(), client)].into())
    }

    fn authenticate(fields: &[&str], body: &str) -> Result<String, AuthenticationError> {
        let fields: Vec<_> = fields.iter().map(|f| f.as_bytes()).collect();
        let form = Form::parse(body.as_bytes()).unwrap();
        let clients = clients();
        let client = clients.authenticate(&fields, &form)?;
        Ok(client.id.clone())
    }

    fn basic_field(credentials: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(credentials))
    }

    #[test]
    fn recognises_both_ways() {
        let field = basic_field("a%3Ab:s%3A%2B+%C3%A9");
        assert_eq!(authenticate(&[&field], "").unwrap(), "a:b");
        assert_eq!(authenticate(&[&field], "client_id=a%3Ab").unwrap(), "a:b");
        let body = "client_id=a%3Ab&client_secret=s%3A%2B+%C3%A9";
        assert_eq!(authenticate(&[], body).unwrap(), "a:b");
        assert!(clients().has_resource("https://mcp.example"));
        assert!(!clients().has_resource("https://mcp.example/"));
    }

    #[test]
    fn recognises_a_client_that_does_not_form_encode() {
        let mut plain = clients();
        let client = plain.by_id.remove("a:b").unwrap();
        plain.by_id.insert("plain".to_owned(), client);
        let field = basic_field("plain:s:+ é");
        let form = Form::parse(b"").unwrap();
        assert!(plain.authenticate(&[field.as_bytes()], &form).is_ok());
    }

    #[test]
    fn refuses_alike_whatever_was_wrong() {
        use AuthenticationError::*;
        let right = basic_field("a%3Ab:s%3A%2B+%C3%A9");
        let cases: [(&[&str], &str, AuthenticationError); 9] = [
            (&[], "", Failed),
            (&[], "client_id=a%3Ab", Failed),
            (&[], "client_id=x&client_secret=y", Failed),
            (&[], "client_id=a%3Ab&client_secret=y", Failed),
            (&[&basic_field("a%3Ab:x")], "", Failed),
            (&["Bearer x"], "", Malformed),
            (&["Basic !"], "", Malformed),
            (&[&right], "client_id=x", TwoMethods),
            (&[&right, &right], "", TwoMethods),
        ];
        for (fields, body, error) in cases {
            assert_eq!(authenticate(fields, body), Err(error), "{fields:?} {body}");
        }
        let twice = authenticate(&[&right], "client_id=a%3Ab&client_secret=x");
        assert_eq!(twice, Err(TwoMethods));
    }
}
