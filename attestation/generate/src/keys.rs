//! Keys from a fixed seed, and signatures that are the same each time (RFC 6979).
use p384::ecdsa::{Signature, SigningKey, signature::Signer};
use sha2::{Digest, Sha384};

/// Everything that is signed follows from this and from the cases.
const SEED: &[u8] = b"dauth attestation vectors 1";

/// A P-384 key whose secret everyone knows.
#[derive(Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    /// The key of this name.
    pub(crate) fn named(name: &str) -> Self {
        let scalar = Sha384::new()
            .chain_update(SEED)
            .chain_update(name)
            .finalize();
        // 384 bits are no scalar in one case of 2^189.
        Self(SigningKey::from_slice(&scalar).expect("a scalar of P-384"))
    }

    /// The point, uncompressed (SEC 1 section 2.3.3).
    pub(crate) fn point(&self) -> Vec<u8> {
        self.0
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec()
    }

    /// r and s, 48 bytes each, as COSE has them.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        self.sign(message).to_bytes().to_vec()
    }

    /// A SEQUENCE of two INTEGERs, as X.509 has them.
    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        self.sign(message).to_der().as_bytes().to_vec()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }
}
