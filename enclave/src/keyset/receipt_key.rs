//! The key that signs receipts: ECDSA with P-256 and SHA-256.
use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::AsDer,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use zeroize::Zeroizing;

use super::KeysetError;

/// A private receipt key. It is wiped when dropped, by aws-lc what aws-lc holds.
pub struct ReceiptKey {
    key: EcdsaKeyPair,
    /// For the next generation. On the heap, as a keyset is moved.
    scalar: Box<Zeroizing<[u8; 32]>>,
    spki: Vec<u8>,
}

/// The key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt key did not sign")]
pub struct ReceiptKeyError;

impl ReceiptKey {
    /// From the scalar, big-endian.
    pub(super) fn from_scalar(scalar: Zeroizing<[u8; 32]>) -> Result<Self, KeysetError> {
        let bad = |_| KeysetError::OtherKeys;
        let point = PrivateKey::from_private_key(&ECDH_P256, scalar.as_slice())
            .map_err(bad)?
            .compute_public_key()
            .map_err(|_| KeysetError::OtherKeys)?;
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar.as_slice(),
            point.as_ref(),
        )
        .map_err(bad)?;
        let spki = key
            .public_key()
            .as_der()
            .map_err(|_| KeysetError::OtherKeys)?
            .as_ref()
            .to_vec();
        Ok(Self {
            key,
            scalar: Box::new(scalar),
            spki,
        })
    }

    /// The scalar, for the keyset alone.
    pub(super) fn scalar(&self) -> &Zeroizing<[u8; 32]> {
        &self.scalar
    }

    /// A key for another purpose, which `info` names: HKDF-SHA256 (RFC 5869) of the scalar.
    pub(crate) fn derive<const N: usize>(
        &self,
        info: &[u8],
    ) -> Result<Zeroizing<[u8; N]>, ReceiptKeyError> {
        let mut derived = Zeroizing::new([0; N]);
        Salt::none(HKDF_SHA256)
            .extract(self.scalar.as_slice())
            .expand(&[info], Length::<N>)
            .and_then(|okm| okm.fill(derived.as_mut_slice()))
            .map_err(|_| ReceiptKeyError)?;
        Ok(derived)
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Signs a message: r and s, 32 bytes each (RFC 9053 section 2.1).
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], ReceiptKeyError> {
        let signature = self
            .key
            .sign(&SystemRandom::new(), message)
            .map_err(|_| ReceiptKeyError)?;
        signature.as_ref().try_into().map_err(|_| ReceiptKeyError)
    }
}

/// So many bytes are derived.
struct Length<const N: usize>;

impl<const N: usize> KeyType for Length<N> {
    fn len(&self) -> usize {
        N
    }
}
