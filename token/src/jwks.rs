//! Key sets (RFC 7517 section 5).
use serde_json::{Value, json};

use crate::{Jwk, JwkError, strict_json};

/// A key set, as text.
pub const MAX_JWKS_BYTES: usize = 64 * 1024;
/// Keys in one set.
pub const MAX_JWKS_KEYS: usize = 64;
const MAX_KID_BYTES: usize = 256;

/// A public key with the `kid` that tokens name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedJwk {
    /// `kid`.
    pub kid: String,
    /// The key.
    pub key: Jwk,
}

/// The signature keys of an issuer, by `kid`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<NamedJwk>,
}

/// Why bytes are no acceptable key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Longer than [`MAX_JWKS_BYTES`].
    #[error("the key set is longer than {MAX_JWKS_BYTES} bytes")]
    TooLong,
    /// Not an object with an array of at most [`MAX_JWKS_KEYS`] keys.
    #[error("the key set is malformed or has more than {MAX_JWKS_KEYS} keys")]
    Malformed,
    /// It publishes a private member. None of its keys can be trusted any more.
    #[error("the key set holds a private key")]
    Private,
    /// Two keys of one name.
    #[error("the key set holds two keys of one kid")]
    RepeatedKid,
}

impl Jwks {
    /// A set of the given keys.
    pub fn new(keys: Vec<NamedJwk>) -> Self {
        Self { keys }
    }

    /// Parses a set. Keys of another type or purpose, malformed keys and keys without `kid` are
    /// left out, as RFC 7517 section 5 recommends; a private member refuses the whole set.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        if bytes.len() > MAX_JWKS_BYTES {
            return Err(JwksError::TooLong);
        }
        let object = strict_json::parse_object(bytes).map_err(|_| JwksError::Malformed)?;
        let values = object
            .get("keys")
            .and_then(Value::as_array)
            .filter(|keys| keys.len() <= MAX_JWKS_KEYS)
            .ok_or(JwksError::Malformed)?;
        let mut keys: Vec<NamedJwk> = Vec::new();
        for value in values {
            let key = match Jwk::from_json(value) {
                Ok(key) => key,
                Err(JwkError::Private) => return Err(JwksError::Private),
                Err(_) => continue,
            };
            let Some(kid) = value.get("kid").and_then(Value::as_str) else {
                continue;
            };
            if kid.is_empty() || kid.len() > MAX_KID_BYTES {
                continue;
            }
            if keys.iter().any(|other| other.kid == kid) {
                return Err(JwksError::RepeatedKid);
            }
            keys.push(NamedJwk {
                kid: kid.to_owned(),
                key,
            });
        }
        Ok(Self { keys })
    }

    /// The key of a `kid`.
    pub fn key(&self, kid: &str) -> Option<&Jwk> {
        self.keys
            .iter()
            .find(|named| named.kid == kid)
            .map(|named| &named.key)
    }

    /// The keys, in the order of the set.
    pub fn iter(&self) -> impl Iterator<Item = &NamedJwk> {
        self.keys.iter()
    }

    /// The form to publish.
    pub fn to_json(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|named| {
                let mut key = named.key.to_json();
                key["kid"] = named.kid.clone().into();
                key["use"] = "sig".into();
                key["alg"] = named.key.algorithm().name().into();
                key
            })
            .collect();
        json!({ "keys": keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &Value) -> Result<Jwks, JwksError> {
        Jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn key(kid: &str) -> Value {
        json!({
            "crv": "Ed25519", "kty": "OKP", "kid": kid,
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    }

    #[test]
    fn leaves_out_what_it_does_not_know() {
        let mut unnamed = key("c");
        unnamed["kid"] = Value::Null;
        let rsa = json!({ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "use": "enc" });
        let keys = set(&json!([rsa, key("a"), unnamed, 1, key("b")])).unwrap();
        let kids: Vec<_> = keys.iter().map(|named| named.kid.as_str()).collect();
        assert_eq!(kids, ["a", "b"]);
        assert!(keys.key("a").is_some() && keys.key("r").is_none());
        assert_eq!(Jwks::parse(keys.to_json().to_string().as_bytes()), Ok(keys));
    }

    #[test]
    fn refuses_leaks_repetition_and_floods() {
        let mut private = key("p");
        private["d"] = "AA".into();
        assert_eq!(set(&json!([key("a"), private])), Err(JwksError::Private));
        assert_eq!(
            set(&json!([key("a"), key("a")])),
            Err(JwksError::RepeatedKid)
        );
        assert_eq!(set(&json!(vec![1; 65])), Err(JwksError::Malformed));
        assert_eq!(set(&json!({})), Err(JwksError::Malformed));
        assert_eq!(Jwks::parse(b"{}"), Err(JwksError::Malformed));
        let long = vec![b' '; MAX_JWKS_BYTES + 1];
        assert_eq!(Jwks::parse(&long), Err(JwksError::TooLong));
    }
}
