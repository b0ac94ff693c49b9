//! Public keys: JSON Web Key (RFC 7517) and its thumbprint (RFC 7638).
use core::fmt;

use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Algorithm;

/// Members that only a private or a symmetric key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4;
/// RFC 8037 section 2).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// A public key: a point of P-256, or an Ed25519 key. Its point is on the curve.
#[derive(Clone)]
pub struct Jwk {
    coordinates: Coordinates,
    parsed: ParsedPublicKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Coordinates {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519 { x: [u8; 32] },
}

/// Why a JSON value is no acceptable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// It holds a private or symmetric member: whoever sent it has leaked a key.
    #[error("the key holds a private member")]
    Private,
    /// `kty` and `crv` are not EC with P-256, nor OKP with Ed25519.
    #[error("the key is neither P-256 nor Ed25519")]
    Unsupported,
    /// A coordinate is missing, not base64url without padding, or not 32 bytes.
    #[error("a coordinate of the key is malformed")]
    Coordinate,
    /// The point is not on the curve.
    #[error("the key is not a point of its curve")]
    OffCurve,
    /// `use`, `key_ops` or `alg` says that the key is for something else.
    #[error("the key is not meant for this signature algorithm")]
    Purpose,
}

impl Jwk {
    /// Reads a public key, refusing private members and keys that are not for signatures.
    pub fn from_json(value: &Value) -> Result<Self, JwkError> {
        if PRIVATE_MEMBERS.iter().any(|name| value.get(name).is_some()) {
            return Err(JwkError::Private);
        }
        let text = |name| value.get(name).and_then(Value::as_str);
        let key = match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => {
                Self::from_p256(&coordinate(text("x"))?, &coordinate(text("y"))?)?
            }
            (Some("OKP"), Some("Ed25519")) => Self::from_ed25519(&coordinate(text("x"))?)?,
            _ => return Err(JwkError::Unsupported),
        };
        key.check_purpose(value)?;
        Ok(key)
    }

    /// The key of a P-256 point.
    pub fn from_p256(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, JwkError> {
        let point = [&[4][..], x, y].concat();
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| JwkError::OffCurve)?;
        Ok(Self {
            coordinates: Coordinates::P256 { x: *x, y: *y },
            parsed,
        })
    }

    /// The key of an uncompressed P-256 point, as SEC 1 section 2.3.3 writes it: 65 bytes.
    pub fn from_p256_uncompressed(point: &[u8]) -> Result<Self, JwkError> {
        let coordinates = match point {
            [4, coordinates @ ..] => coordinates,
            _ => return Err(JwkError::Coordinate),
        };
        let (x, y) = coordinates
            .split_at_checked(32)
            .ok_or(JwkError::Coordinate)?;
        let sized = |c: &[u8]| c.try_into().map_err(|_| JwkError::Coordinate);
        Self::from_p256(&sized(x)?, &sized(y)?)
    }

    /// The key of an Ed25519 public key's 32 bytes.
    pub fn from_ed25519(x: &[u8; 32]) -> Result<Self, JwkError> {
        let parsed = ParsedPublicKey::new(&ED25519, x).map_err(|_| JwkError::OffCurve)?;
        Ok(Self {
            coordinates: Coordinates::Ed25519 { x: *x },
            parsed,
        })
    }

    /// The algorithm that the key verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.coordinates {
            Coordinates::P256 { .. } => Algorithm::Es256,
            Coordinates::Ed25519 { .. } => Algorithm::Ed25519,
        }
    }

    /// The public members, and nothing else.
    pub fn to_json(&self) -> Value {
        let text = |bytes: &[u8; 32]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match &self.coordinates {
            Coordinates::P256 { x, y } => {
                json!({ "crv": "P-256", "kty": "EC", "x": text(x), "y": text(y) })
            }
            Coordinates::Ed25519 { x } => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": text(x) })
            }
        }
    }

    /// SHA-256 of the required members in their order (RFC 7638 section 3).
    pub fn thumbprint(&self) -> Thumbprint {
        let text = |bytes: &[u8; 32]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let canonical = match &self.coordinates {
            Coordinates::P256 { x, y } => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                text(x),
                text(y)
            ),
            Coordinates::Ed25519 { x } => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x))
            }
        };
        Thumbprint::of(canonical.as_bytes())
    }

    /// Whether `signature` over `message` is by this key. ECDSA signatures are 64 raw bytes: DER
    /// is refused, as are r or s of zero.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    fn check_purpose(&self, value: &Value) -> Result<(), JwkError> {
        let use_fits = value.get("use").is_none_or(|v| v == "sig");
        let operations_fit = value.get("key_ops").is_none_or(|operations| {
            operations
                .as_array()
                .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
        });
        let algorithm_fits = value.get("alg").is_none_or(|name| {
            name.as_str().and_then(Algorithm::from_name) == Some(self.algorithm())
        });
        if use_fits && operations_fit && algorithm_fits {
            Ok(())
        } else {
            Err(JwkError::Purpose)
        }
    }
}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], JwkError> {
    let text = text.ok_or(JwkError::Coordinate)?;
    // 32 bytes are 43 characters; decoding nothing longer bounds the work.
    if text.len() != 43 {
        return Err(JwkError::Coordinate);
    }
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(JwkError::Coordinate)
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.coordinates == other.coordinates
    }
}

impl Eq for Jwk {}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({})", self.thumbprint())
    }
}

/// The RFC 7638 thumbprint of a key: `jkt`. Its text form is base64url, 43 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint {
    bytes: [u8; 32],
    text: String,
}

impl Thumbprint {
    fn of(canonical: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, canonical).as_ref());
        Self {
            bytes,
            text: BASE64_URL_SAFE_NO_PAD.encode(bytes),
        }
    }

    /// The text form, as `jkt` has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    #[test]
    fn thumbprint_of_rfc_9449_section_6_1() {
        let key = Jwk::from_json(&json!({
            "kty": "EC",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
            "crv": "P-256",
        }))
        .unwrap();
        let expected = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(key.thumbprint().as_str(), expected);
        assert_eq!(Jwk::from_json(&key.to_json()), Ok(key));
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a_3() {
        let key = Jwk::from_json(&json!({
            "crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }))
        .unwrap();
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(key.thumbprint().as_str(), expected);
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
    }

    #[test]
    fn refuses_what_is_no_public_signature_key() {
        let key = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y });
        assert!(Jwk::from_json(&key).is_ok());
        let with = |name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let mut cases = vec![
            (json!([]), JwkError::Unsupported),
            (json!({ "kty": "oct" }), JwkError::Unsupported),
            (with("kty", json!("OKP")), JwkError::Unsupported),
            (with("crv", json!("P-384")), JwkError::Unsupported),
            (with("x", json!(1)), JwkError::Coordinate),
            (with("x", json!("")), JwkError::Coordinate),
            (with("x", json!(format!("{X}="))), JwkError::Coordinate),
            (with("x", json!(X.replace('E', "E+"))), JwkError::Coordinate),
            (with("x", json!(X.replace('J', "+"))), JwkError::Coordinate),
            // The last character holds two unused bits; they must be zero.
            (
                with("x", json!(X.replace("VEU", "VEV"))),
                JwkError::Coordinate,
            ),
            (with("x", json!(Y)), JwkError::OffCurve),
            (with("use", json!("enc")), JwkError::Purpose),
            (with("key_ops", json!(["sign"])), JwkError::Purpose),
            (with("key_ops", json!("verify")), JwkError::Purpose),
            (with("alg", json!("EdDSA")), JwkError::Purpose),
            (with("alg", json!("none")), JwkError::Purpose),
        ];
        for name in PRIVATE_MEMBERS {
            cases.push((with(name, json!(X)), JwkError::Private));
        }
        for (value, error) in cases {
            assert_eq!(Jwk::from_json(&value), Err(error), "{value}");
        }
    }
}
