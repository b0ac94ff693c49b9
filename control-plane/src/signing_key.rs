//! The key that access tokens are signed with.
use std::{fmt, io, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use dauth_token::{Jwk, Jwks, NamedJwk, SignError, Signer};

use crate::private_file;

const FILE: &str = "signing-key.pk8";

/// An ES256 key, created at the first start and kept in the state directory.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    jwk: Jwk,
    kid: String,
}

impl SigningKey {
    /// The key of a state directory.
    pub(crate) fn load_or_create(state_dir: &Path) -> io::Result<Self> {
        let pkcs8 = private_file::load_or_create(&state_dir.join(FILE), || {
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|document| document.as_ref().to_vec())
                .map_err(io::Error::other)
        })?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, FILE);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| malformed())?;
        let jwk =
            Jwk::from_p256_uncompressed(pair.public_key().as_ref()).map_err(|_| malformed())?;
        // The thumbprint names the key alone, so that a name is never used for two keys.
        let kid = jwk.thumbprint().to_string();
        Ok(Self { pair, jwk, kid })
    }

    /// `kid` of the tokens signed with it.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The key set to publish.
    pub(crate) fn jwks(&self) -> Jwks {
        Jwks::new(vec![NamedJwk {
            kid: self.kid.clone(),
            key: self.jwk.clone(),
        }])
    }
}

impl Signer for SigningKey {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_key() {
        let state = tempfile::tempdir().unwrap();
        let first = SigningKey::load_or_create(state.path()).unwrap();
        let second = SigningKey::load_or_create(state.path()).unwrap();
        assert_eq!(first.jwks(), second.jwks());
        std::fs::write(state.path().join(FILE), b"damaged").unwrap();
        assert!(SigningKey::load_or_create(state.path()).is_err());
    }
}
