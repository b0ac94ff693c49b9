//! Names that nobody can guess.
use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// The system's random source failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub(crate) struct RandomError;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// 128 random bits, base64url.
pub(crate) fn identifier() -> Result<String, RandomError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes::<16>()?))
}
