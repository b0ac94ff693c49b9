//! Making access tokens and proofs.
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    AccessClaims, MAX_ACCESS_TOKEN_BYTES, MAX_PROOF_BYTES, SignError, Signer,
    access_token::ACCESS_TOKEN_TYPE, proof::PROOF_TYPE,
};

/// Why a token or proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// It would be longer than a verifier accepts.
    #[error("the token would be longer than {0} bytes")]
    TooLong(usize),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The claims have no JSON form.
    #[error("the claims cannot be written as JSON")]
    Claims,
}

/// Mints an access token under the key that `kid` names in the issuer's key set.
pub fn mint_access_token(
    claims: &AccessClaims,
    kid: &str,
    signer: &dyn Signer,
) -> Result<String, MintError> {
    let header = json!({ "alg": signer.algorithm().name(), "kid": kid, "typ": ACCESS_TOKEN_TYPE });
    compact(&header, claims, signer, MAX_ACCESS_TOKEN_BYTES)
}

/// What a proof says (RFC 9449 section 4.2).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProofClaims<'a> {
    /// `htm`.
    #[serde(rename = "htm")]
    pub method: &'a str,
    /// `htu`: the URI without query and fragment, as it is sent.
    pub htu: &'a str,
    /// Now: Unix seconds.
    pub iat: u64,
    /// A fresh name, of 96 random bits at least.
    pub jti: &'a str,
    /// [`access_token_hash`](crate::access_token_hash) of the token sent along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ath: Option<&'a str>,
    /// The nonce that the server gave last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
}

/// Makes a proof.
pub fn make_proof(claims: &ProofClaims<'_>, signer: &dyn Signer) -> Result<String, MintError> {
    let header = json!({
        "alg": signer.algorithm().name(), "jwk": signer.jwk().to_json(), "typ": PROOF_TYPE,
    });
    compact(&header, claims, signer, MAX_PROOF_BYTES)
}

fn compact(
    header: &Value,
    claims: &impl Serialize,
    signer: &dyn Signer,
    max_bytes: usize,
) -> Result<String, MintError> {
    let claims = serde_json::to_vec(claims).map_err(|_| MintError::Claims)?;
    let mut token = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > max_bytes {
        return Err(MintError::TooLong(max_bytes));
    }
    Ok(token)
}
