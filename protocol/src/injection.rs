//! How a credential enters a request.
use core::str::FromStr;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::header;

/// The placeholder of the secret in a [`HeaderTemplate`].
pub const SECRET_PLACEHOLDER: &str = "{secret}";

/// How the enclave puts the credential into each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Injection {
    /// `Authorization: Bearer <secret>` (RFC 6750).
    Bearer {},
    /// `Authorization: Basic base64(user:secret)` (RFC 7617).
    Basic {
        /// The user name: visible ASCII without a colon.
        user: BasicUser,
    },
    /// A header of the owner's choice.
    Header {
        /// Name and value.
        template: HeaderTemplate,
    },
    /// A query parameter whose value is the percent-encoded secret.
    Query {
        /// The parameter's name, sent as it stands.
        name: QueryName,
    },
}

/// A user name for Basic authentication: visible ASCII without a colon, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BasicUser(String);

/// `Name: value`, where the value holds `{secret}` exactly once.
///
/// ```
/// use dauth_protocol::injection::HeaderTemplate;
/// let template: HeaderTemplate = "X-Api-Key: key {secret}".parse().unwrap();
/// assert_eq!(template.name().as_str(), "x-api-key");
/// assert_eq!(template.around_secret(), ("key ", ""));
/// assert!("Host: {secret}".parse::<HeaderTemplate>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderTemplate {
    name: HeaderName,
    before: String,
    after: String,
}

/// The name of a query parameter: unreserved characters and `[ ]`-free, at most 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueryName(String);

/// Why a way of injection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInjection {
    /// See [`BasicUser`].
    #[error("the user name must be 1 to 255 visible ASCII characters without a colon")]
    User,
    /// Not `Name: value`.
    #[error("the header must be given as 'Name: template {{secret}}'")]
    Header,
    /// A field that routes or frames the request, or that callers may set.
    #[error("a credential cannot be put into this header")]
    HeaderName,
    /// `{secret}` absent or there more than once.
    #[error("the template must hold {{secret}} exactly once")]
    Placeholder,
    /// See [`QueryName`].
    #[error("the query parameter's name must be 1 to 128 letters, digits or -._~")]
    Query,
}

impl BasicUser {
    /// The user name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasicUser {
    type Err = InvalidInjection;

    fn from_str(text: &str) -> Result<Self, InvalidInjection> {
        let is_valid = |b: u8| matches!(b, 0x21..=0x7e) && b != b':';
        if !(1..=255).contains(&text.len()) || !text.bytes().all(is_valid) {
            return Err(InvalidInjection::User);
        }
        Ok(Self(text.to_owned()))
    }
}

impl HeaderTemplate {
    /// The field's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// What stands before and after the secret.
    pub fn around_secret(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }
}

impl FromStr for HeaderTemplate {
    type Err = InvalidInjection;

    fn from_str(text: &str) -> Result<Self, InvalidInjection> {
        let (name, value) = text.split_once(':').ok_or(InvalidInjection::Header)?;
        let name: HeaderName = name.parse().map_err(|_| InvalidInjection::Header)?;
        if !header::may_carry_credential(&name) {
            return Err(InvalidInjection::HeaderName);
        }
        let value = value.trim_matches(' ');
        if value.len() > 1024 || !value.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
            return Err(InvalidInjection::Header);
        }
        let (before, after) = value
            .split_once(SECRET_PLACEHOLDER)
            .ok_or(InvalidInjection::Placeholder)?;
        if after.contains(SECRET_PLACEHOLDER) {
            return Err(InvalidInjection::Placeholder);
        }
        Ok(Self {
            name,
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }
}

impl core::fmt::Display for HeaderTemplate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}: {}{SECRET_PLACEHOLDER}{}",
            self.name, self.before, self.after
        )
    }
}

impl QueryName {
    /// The parameter's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueryName {
    type Err = InvalidInjection;

    fn from_str(text: &str) -> Result<Self, InvalidInjection> {
        // RFC 3986 unreserved: one spelling only, so a caller cannot send a second one of its own.
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(1..=128).contains(&text.len()) || !text.bytes().all(is_valid) {
            return Err(InvalidInjection::Query);
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! string_form {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidInjection;

            fn try_from(text: String) -> Result<Self, InvalidInjection> {
                text.parse()
            }
        }
    )*};
}
string_form!(BasicUser, HeaderTemplate, QueryName);

impl From<BasicUser> for String {
    fn from(user: BasicUser) -> Self {
        user.0
    }
}

impl From<HeaderTemplate> for String {
    fn from(template: HeaderTemplate) -> Self {
        template.to_string()
    }
}

impl From<QueryName> for String {
    fn from(name: QueryName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_headers_that_route_frame_or_belong_to_callers() {
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "DPoP",
            "Range",
            "Accept",
            "Content-Type",
            "Connection",
        ] {
            let template = format!("{name}: {{secret}}");
            assert_eq!(
                template.parse::<HeaderTemplate>(),
                Err(InvalidInjection::HeaderName),
                "{name}"
            );
        }
    }

    #[test]
    fn refuses_templates_that_could_split_a_header() {
        use InvalidInjection::*;
        let cases = [
            ("X-Key {secret}", Header),
            ("X Key: {secret}", Header),
            ("X-Key: a\r\nHost: {secret}", Header),
            ("X-Key: key", Placeholder),
            ("X-Key: {secret}{secret}", Placeholder),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<HeaderTemplate>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn json_form_refuses_unknown_fields() {
        let json = r#"{"kind":"basic","user":"me"}"#;
        let injection: Injection = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&injection).unwrap(), json);
        for json in [
            r#"{"kind":"bearer","x":1}"#,
            r#"{"kind":"basic","user":"a:b"}"#,
            r#"{"kind":"other"}"#,
        ] {
            assert!(serde_json::from_str::<Injection>(json).is_err(), "{json}");
        }
    }
}
