//! The claims of an access token.
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// The claims of an access token (RFC 9068 section 2.2, with DAuth's own under `ddls:`).
///
/// Unknown claims are ignored (RFC 7519 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who issued it.
    pub iss: String,
    /// On whose behalf: an opaque id.
    pub sub: String,
    /// The one protected resource that it is for. Written as a string; an array of exactly one
    /// string is read too, since RFC 7519 section 4.1.3 makes the string a special case of it. An
    /// array of several is refused: a token for two resources lets one act at the other.
    #[serde(deserialize_with = "one_audience")]
    pub aud: String,
    /// When it stops being valid: Unix seconds.
    pub exp: u64,
    /// When it was issued: Unix seconds.
    pub iat: u64,
    /// When it starts being valid, if later than `iat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Names the token.
    pub jti: String,
    /// The client that got it.
    pub client_id: String,
    /// Scopes, separated by single spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The key that must be proven (RFC 9449 section 6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Who acts for the subject (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
    /// Connections by name: handles.
    #[serde(
        rename = "ddls:connections",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub connections: BTreeMap<String, String>,
    /// SHA-256 of each connection's record, by handle: lower-case hexadecimal.
    #[serde(
        rename = "ddls:fingerprints",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub fingerprints: BTreeMap<String, String>,
    /// The tenant.
    #[serde(rename = "ddls:org", default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Whether the owner took part in the grant: never so in an exchanged token.
    #[serde(
        rename = "ddls:owner",
        default,
        skip_serializing_if = "core::ops::Not::not"
    )]
    pub owner: bool,
}

/// `cnf`: the key that the holder proves (RFC 7800 section 3.1, RFC 9449 section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// RFC 7638 thumbprint, base64url.
    pub jkt: String,
}

/// `act`: who acts (RFC 8693 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The MCP server's resource URI.
    pub sub: String,
    /// Its client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl AccessClaims {
    /// Whether `scope` has this token.
    pub fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scopes().any(|granted| granted == scope)
    }

    /// The scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope
            .as_deref()
            .unwrap_or_default()
            .split(' ')
            .filter(|scope| !scope.is_empty())
    }
}

fn one_audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Array([String; 1]),
    }
    match Audience::deserialize(deserializer) {
        Ok(Audience::One(audience) | Audience::Array([audience])) => Ok(audience),
        Err(_) => Err(D::Error::custom("aud is not one string")),
    }
}
