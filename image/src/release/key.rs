//! The public half of the release key, and the signatures that it verifies.
use minisign_verify::{Error, PublicKey, Signature};

use super::{MAX_SIGNATURE_BYTES, TrustError};

/// A minisign public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseKey(PublicKey);

/// The text is no minisign public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a minisign public key: expected a line that begins with RW, or the .pub file with it")]
pub struct KeyError;

impl core::str::FromStr for ReleaseKey {
    type Err = KeyError;

    /// Reads the one line of base64, or the `.pub` file with its comment.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let line = match text.trim().split_once('\n') {
            Some((comment, line)) if comment.starts_with("untrusted comment:") => line,
            Some(_) => return Err(KeyError),
            None => text,
        };
        PublicKey::from_base64(line.trim())
            .map(ReleaseKey)
            .map_err(|_| KeyError)
    }
}

impl ReleaseKey {
    /// Whether `signature` is this key's over `bytes`. The old format, which signs the file and no
    /// hash of it, is refused: one format is enough.
    pub(super) fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), TrustError> {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(TrustError::SignatureMalformed);
        }
        let signature = Signature::decode(signature).map_err(|_| TrustError::SignatureMalformed)?;
        self.0
            .verify(bytes, &signature, false)
            .map_err(|error| match error {
                Error::UnexpectedKeyId => TrustError::OtherKey,
                Error::UnexpectedAlgorithm | Error::UnsupportedLegacyMode => TrustError::Legacy,
                _ => TrustError::Forged,
            })
    }
}
