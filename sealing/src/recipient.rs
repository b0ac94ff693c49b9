//! The enclave's key that envelopes are sealed to.
use dauth_protocol::key_configuration::{Kem, RecipientPublicKey};
use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::{SealError, suite};

/// A private HPKE key, wiped when dropped. It has no Debug and no Clone.
///
/// ```compile_fail,E0277
/// fn print(key: &dauth_sealing::RecipientKey) {
///     println!("{key:?}");
/// }
/// ```
pub struct RecipientKey {
    id: [u8; 8],
    kem: Kem,
    private: Zeroizing<[u8; suite::PRIVATE_KEY_BYTES]>,
    public: Vec<u8>,
}

impl RecipientKey {
    /// A new key.
    pub fn generate(kem: Kem, id: [u8; 8], rng: &mut impl TryCryptoRng) -> Result<Self, SealError> {
        let mut input = Zeroizing::new([0; 64]);
        rng.try_fill_bytes(input.as_mut_slice())
            .map_err(|_| SealError::Randomness)?;
        Self::from_parts(kem, id, suite::derive_private_key(kem, &input)?)
    }

    /// The key of [`RecipientKey::private_key`]'s bytes.
    pub fn from_parts(
        kem: Kem,
        id: [u8; 8],
        private: Zeroizing<[u8; 32]>,
    ) -> Result<Self, SealError> {
        let public = suite::public_key(kem, private.as_slice())?;
        Ok(Self {
            id,
            kem,
            private,
            public,
        })
    }

    /// What names the key in an envelope.
    pub fn id(&self) -> &[u8; 8] {
        &self.id
    }

    /// Its key encapsulation.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// The private key, for the keyset alone.
    pub fn private_key(&self) -> &Zeroizing<[u8; 32]> {
        &self.private
    }

    /// The public key, as the key configuration lists it.
    pub fn public(&self) -> RecipientPublicKey {
        RecipientPublicKey {
            id: self.id.to_vec(),
            kem: self.kem,
            key: self.public.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::tests::{Broken, rng};

    #[test]
    fn a_key_comes_back_from_its_parts() {
        for (kem, length) in [(Kem::MlKem768X25519, 1216), (Kem::X25519, 32)] {
            let key = RecipientKey::generate(kem, [7; 8], &mut rng(1)).unwrap();
            let again = RecipientKey::from_parts(kem, [7; 8], key.private_key().clone()).unwrap();
            assert_eq!(key.public(), again.public());
            assert_eq!(key.public().key.len(), length);
            let other = RecipientKey::generate(kem, [7; 8], &mut rng(2)).unwrap();
            assert_ne!(key.public(), other.public());
        }
    }

    #[test]
    fn no_key_is_made_without_randomness() {
        let made = RecipientKey::generate(Kem::X25519, [0; 8], &mut Broken).map(drop);
        assert_eq!(made, Err(SealError::Randomness));
    }
}
