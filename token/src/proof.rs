//! DPoP proofs (RFC 9449 section 4.3).
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{
    Jwk, JwkError, JwsError, Thumbprint,
    access_token::sha256,
    jws::{Kind, UnverifiedJws},
};

/// `typ` of a proof.
pub const PROOF_TYPE: &str = "dpop+jwt";
/// A proof, as text. `htu` is its longest part.
pub const MAX_PROOF_BYTES: usize = 10 * 1024;
const MAX_JTI_BYTES: usize = 256;
const MAX_NONCE_BYTES: usize = 256;

const KIND: Kind = Kind {
    typ: PROOF_TYPE,
    max_bytes: MAX_PROOF_BYTES,
    // The key is in the proof; a name for another one could only confuse.
    refused: &["kid"],
};

/// What a proof is checked against.
#[derive(Clone, Copy, Debug)]
pub struct ProofRules<'a> {
    /// The request's method; `htm` equals it in every letter.
    pub method: &'a str,
    /// The request's URI without query and fragment; `htu` equals it byte for byte.
    ///
    /// RFC 9449 section 4.3 lets a server normalise both sides. None is done here: two servers that
    /// normalise differently would disagree on what was signed.
    pub htu: &'a str,
    /// The access token of the request, where there is one: `ath` must be its hash.
    pub access_token: Option<&'a str>,
    /// Now: Unix seconds.
    pub now_s: u64,
    /// How old a proof may be.
    pub max_age_s: u64,
    /// How far the client's clock may be off.
    pub leeway_s: u64,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Its form, header or signature.
    #[error("the DPoP proof is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// Its `jwk` is missing.
    #[error("the DPoP proof holds no key")]
    NoKey,
    /// Its `jwk` is not acceptable.
    #[error("the key in the DPoP proof is not acceptable: {0}")]
    Key(#[from] JwkError),
    /// A claim is missing, of another type, empty or too long.
    #[error("the claim {0} of the DPoP proof is missing or malformed")]
    Claim(&'static str),
    /// `htm` is another method.
    #[error("the DPoP proof is for another method")]
    Method,
    /// `htu` is another URI.
    #[error("the DPoP proof is for another URI")]
    Uri,
    /// `iat` is too long ago.
    #[error("the DPoP proof is too old")]
    TooOld,
    /// `iat` lies ahead.
    #[error("the DPoP proof is dated in the future")]
    InTheFuture,
    /// `ath` is missing or of another token.
    #[error("the DPoP proof is not for this access token")]
    AccessToken,
}

/// A proof that verified. [`verify_proof`] alone makes one.
///
/// Its nonce is for a [`NonceIssuer`](crate::NonceIssuer), its
/// [`replay_key`](VerifiedProof::replay_key) for a [`ReplayCache`](crate::ReplayCache) to judge.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    thumbprint: Thumbprint,
    jti: String,
    iat: u64,
    expires_s: u64,
    nonce: Option<String>,
    access_token_hash: Option<[u8; 32]>,
}

/// Verifies a proof, all but its nonce and its being the first of its kind.
pub fn verify_proof(proof: &str, rules: &ProofRules<'_>) -> Result<VerifiedProof, ProofError> {
    let jws = UnverifiedJws::parse(proof, &KIND)?;
    let key = Jwk::from_json(jws.parameter("jwk").ok_or(ProofError::NoKey)?)?;
    let claims = jws.verify(&key)?;
    if text(&claims, "htm", rules.method.len().max(32))? != rules.method {
        return Err(ProofError::Method);
    }
    if text(&claims, "htu", MAX_PROOF_BYTES)? != rules.htu {
        return Err(ProofError::Uri);
    }
    let jti = text(&claims, "jti", MAX_JTI_BYTES)?.to_owned();
    let iat = check_time(&claims, rules)?;
    let nonce = match claims.get("nonce") {
        Some(_) => Some(text(&claims, "nonce", MAX_NONCE_BYTES)?.to_owned()),
        None => None,
    };
    Ok(VerifiedProof {
        thumbprint: key.thumbprint(),
        jti,
        iat,
        expires_s: last_second(iat, rules),
        nonce,
        access_token_hash: check_access_token(&claims, rules)?,
    })
}

/// The `ath` of an access token (RFC 9449 section 4.2).
pub fn access_token_hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()))
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
    max_bytes: usize,
) -> Result<&'a str, ProofError> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| (1..=max_bytes).contains(&text.len()))
        .ok_or(ProofError::Claim(name))
}

fn check_time(claims: &Map<String, Value>, rules: &ProofRules<'_>) -> Result<u64, ProofError> {
    // `as_u64` is none for a fraction and for a negative number.
    let iat = claims
        .get("iat")
        .and_then(Value::as_u64)
        .ok_or(ProofError::Claim("iat"))?;
    if iat > rules.now_s.saturating_add(rules.leeway_s) {
        return Err(ProofError::InTheFuture);
    }
    if last_second(iat, rules) < rules.now_s {
        return Err(ProofError::TooOld);
    }
    Ok(iat)
}

fn last_second(iat: u64, rules: &ProofRules<'_>) -> u64 {
    iat.saturating_add(rules.max_age_s)
        .saturating_add(rules.leeway_s)
}

fn check_access_token(
    claims: &Map<String, Value>,
    rules: &ProofRules<'_>,
) -> Result<Option<[u8; 32]>, ProofError> {
    let Some(token) = rules.access_token else {
        return Ok(None);
    };
    let hash = sha256(token.as_bytes());
    match claims.get("ath").and_then(Value::as_str) {
        Some(ath) if ath == BASE64_URL_SAFE_NO_PAD.encode(hash) => Ok(Some(hash)),
        _ => Err(ProofError::AccessToken),
    }
}

impl VerifiedProof {
    /// The thumbprint of the key that made it.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Its name, chosen by the client.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When it was made, by the client's clock: Unix seconds.
    pub fn iat(&self) -> u64 {
        self.iat
    }

    /// The server nonce in it.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The last second in which the same proof would verify again: until then the replay cache
    /// must remember it.
    pub fn expires_s(&self) -> u64 {
        self.expires_s
    }

    /// What names the proof in a replay cache: SHA-256 of thumbprint and `jti`. Two keys may choose
    /// the same `jti` without hindering each other.
    pub fn replay_key(&self) -> [u8; 32] {
        sha256(&[self.thumbprint.as_bytes().as_slice(), self.jti.as_bytes()].concat())
    }

    pub(crate) fn access_token_hash(&self) -> Option<&[u8; 32]> {
        self.access_token_hash.as_ref()
    }
}
