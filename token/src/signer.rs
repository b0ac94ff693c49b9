//! Signing, which this crate leaves to its caller.
use crate::{Algorithm, Jwk};

/// A private key that signs. Where it lives is the implementor's business.
pub trait Signer {
    /// The public key.
    fn jwk(&self) -> &Jwk;

    /// Signs: for ES256 64 bytes, r then s (RFC 7518 section 3.4); for Ed25519 its 64 bytes.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// The algorithm, which follows from the key.
    fn algorithm(&self) -> Algorithm {
        self.jwk().algorithm()
    }
}

/// The key could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key could not sign")]
pub struct SignError;
