//! The identifier of a protected resource (RFC 9728 section 1.2, RFC 8707 section 2).
use core::{fmt, str::FromStr};

use dauth_dispatch::web::SecureUrl;
use serde::{Deserialize, Serialize};

/// An absolute URL without query, fragment and user information: `https`, or `http` on loopback.
///
/// It is compared byte for byte; nothing appends or removes a slash.
///
/// ```
/// use dauth_mcp::ResourceUri;
/// let resource: ResourceUri = "https://mcp.example/mcp".parse().unwrap();
/// assert_eq!(resource.origin(), "https://mcp.example");
/// assert_eq!(
///     resource.metadata_url(),
///     "https://mcp.example/.well-known/oauth-protected-resource/mcp"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri {
    text: String,
    origin_bytes: usize,
}

/// Where metadata of a resource without path lies; a path is appended.
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// Not the identifier of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a resource is an https URL (or an http one of this machine) without query and fragment")]
pub struct InvalidResource;

impl ResourceUri {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme and authority: what a request's path is put behind to make its `htu`.
    pub fn origin(&self) -> &str {
        self.text.get(..self.origin_bytes).unwrap_or_default()
    }

    /// The path: empty, or from its `/`.
    pub fn path(&self) -> &str {
        self.text.get(self.origin_bytes..).unwrap_or_default()
    }

    /// The absolute address of the metadata (RFC 9728 section 3.1: a slash that follows the host
    /// and ends the identifier is left out).
    pub fn metadata_url(&self) -> String {
        format!("{}{}", self.origin(), self.metadata_path())
    }

    pub(crate) fn metadata_path(&self) -> String {
        let path = match self.path() {
            "/" => "",
            path => path,
        };
        format!("{METADATA_PATH}{path}")
    }
}

impl FromStr for ResourceUri {
    type Err = InvalidResource;

    fn from_str(text: &str) -> Result<Self, InvalidResource> {
        SecureUrl::parse(text).map_err(|_| InvalidResource)?;
        let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'"');
        if !text.bytes().all(is_plain) {
            return Err(InvalidResource);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidResource)?;
        let authority_bytes = rest.find('/').unwrap_or(rest.len());
        Ok(Self {
            text: text.to_owned(),
            origin_bytes: scheme.len() + "://".len() + authority_bytes,
        })
    }
}

impl TryFrom<String> for ResourceUri {
    type Error = InvalidResource;

    fn try_from(text: String) -> Result<Self, InvalidResource> {
        text.parse()
    }
}

impl From<ResourceUri> for String {
    fn from(resource: ResourceUri) -> Self {
        resource.text
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_lies_at_the_path_inserted_address() {
        for (resource, metadata) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example:8443/x/y",
                "https://a.example:8443/.well-known/oauth-protected-resource/x/y",
            ),
            (
                "http://127.0.0.1:80/mcp",
                "http://127.0.0.1:80/.well-known/oauth-protected-resource/mcp",
            ),
        ] {
            let parsed: ResourceUri = resource.parse().unwrap();
            assert_eq!(parsed.metadata_url(), metadata);
            assert_eq!(parsed.as_str(), resource);
        }
    }

    #[test]
    fn what_identifies_no_resource_is_refused() {
        for text in [
            "",
            "/mcp",
            "mcp.example/mcp",
            "http://mcp.example/mcp",
            "ftp://mcp.example",
            "https://user@mcp.example/mcp",
            "https://mcp.example/mcp?a=b",
            "https://mcp.example/mcp#f",
            "https://mcp.example/a b",
            "https://mcp.example/\"",
        ] {
            assert_eq!(text.parse::<ResourceUri>(), Err(InvalidResource), "{text}");
        }
    }
}
