//! A fresh proof for each request (RFC 9449 section 4.2).
use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dauth_token::{ProofClaims, access_token_hash, make_proof};

use crate::{AccessToken, DpopKey};

/// A proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The system's random source failed.
    #[error("this system's random source failed")]
    Random,
    /// The system's clock is before 1970.
    #[error("this system's clock is wrong: it is set before 1970")]
    Clock,
    /// The key did not sign.
    #[error("the DPoP key could not sign")]
    Sign,
}

/// What a proof is for.
pub(crate) struct ProofFor<'a> {
    pub(crate) method: &'a str,
    pub(crate) htu: &'a str,
    /// Sent along, and therefore hashed into `ath`; a token request has none.
    pub(crate) token: Option<&'a AccessToken>,
    pub(crate) nonce: Option<&'a str>,
}

pub(crate) fn prove(request: &ProofFor<'_>, key: &DpopKey) -> Result<String, ProofError> {
    let ath = request.token.map(|token| access_token_hash(token.expose()));
    let claims = ProofClaims {
        method: request.method,
        htu: request.htu,
        iat: now_s()?,
        jti: &unique_id()?,
        ath: ath.as_deref(),
        nonce: request.nonce,
    };
    make_proof(&claims, key).map_err(|_| ProofError::Sign)
}

/// 128 random bits: enough never to meet again (RFC 9449 section 4.2 asks for 96).
fn unique_id() -> Result<String, ProofError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ProofError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn now_s() -> Result<u64, ProofError> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|_| ProofError::Clock)
}
