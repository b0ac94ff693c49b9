//! JWS compact serialization (RFC 7515 section 7.1), read strictly.
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{Algorithm, Jwk, strict_json};

/// Both algorithms make signatures of this length.
const SIGNATURE_BYTES: usize = 64;

/// Header parameters that no JWS here may have: each asks the verifier to follow the sender's
/// choice of key (RFC 7515 sections 4.1.2 to 4.1.8) or to understand an extension (section 4.1.11,
/// RFC 7797).
const REFUSED_PARAMETERS: [&str; 7] = ["jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64"];

/// Why a text is no acceptable JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than its kind may be.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Not three parts of base64url without padding.
    #[error("not three parts of base64url")]
    Malformed,
    /// Header or payload is no JSON object, or repeats a member.
    #[error("header or payload is not a JSON object without repeated members")]
    Json,
    /// `alg` is missing, or not one of [`Algorithm::NAMES`].
    #[error("alg is not one of ES256, EdDSA, Ed25519")]
    Algorithm,
    /// `typ` is missing or another.
    #[error("typ is not the expected one")]
    Type,
    /// A header parameter that is refused.
    #[error("the header parameter {0} is refused")]
    Parameter(&'static str),
    /// The signature is not by the key, or not 64 raw bytes, or for another algorithm.
    #[error("the signature does not verify")]
    Signature,
}

/// What kind of JWS is expected.
pub(crate) struct Kind {
    pub(crate) typ: &'static str,
    pub(crate) max_bytes: usize,
    /// Parameters refused beside those that every JWS refuses.
    pub(crate) refused: &'static [&'static str],
}

/// A JWS whose form is right and whose signature is not verified yet.
pub(crate) struct UnverifiedJws<'a> {
    header: Map<String, Value>,
    algorithm: Algorithm,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signing_input: &'a str,
}

impl<'a> UnverifiedJws<'a> {
    pub(crate) fn parse(text: &'a str, kind: &Kind) -> Result<Self, JwsError> {
        if text.len() > kind.max_bytes {
            return Err(JwsError::TooLong(kind.max_bytes));
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Malformed)?;
        // A fourth part leaves a '.', which is not in the alphabet.
        let header = strict_json::parse_object(&decode(header)?).map_err(|_| JwsError::Json)?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::from_name)
            .ok_or(JwsError::Algorithm)?;
        for name in REFUSED_PARAMETERS.iter().chain(kind.refused) {
            if header.contains_key(*name) {
                return Err(JwsError::Parameter(name));
            }
        }
        if header.get("typ").and_then(Value::as_str) != Some(kind.typ) {
            return Err(JwsError::Type);
        }
        Ok(Self {
            header,
            algorithm,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signing_input,
        })
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Value> {
        self.header.get(name)
    }

    /// The payload, once the signature is found to be by `key`.
    pub(crate) fn verify(&self, key: &Jwk) -> Result<Map<String, Value>, JwsError> {
        let fits = self.algorithm == key.algorithm() && self.signature.len() == SIGNATURE_BYTES;
        if !fits || !key.verifies(self.signing_input.as_bytes(), &self.signature) {
            return Err(JwsError::Signature);
        }
        strict_json::parse_object(&self.payload).map_err(|_| JwsError::Json)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| JwsError::Malformed)
}
