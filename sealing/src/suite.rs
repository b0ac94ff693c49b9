//! The HPKE suites, and their names in COSE.
//!
//! | KEM | KDF | AEAD | `alg` |
//! |---|---|---|---|
//! | MLKEM768-X25519 (0x647a) | SHAKE256 (0x0011) | AES-256-GCM | [`MLKEM768_X25519`] |
//! | DHKEM(X25519, HKDF-SHA256) (0x0020) | HKDF-SHA256 (0x0001) | AES-256-GCM | [`X25519`] |
//!
//! The KDFs are those that draft-ietf-hpke-pq and draft-ietf-cose-hpke-pq-pqt pair with each KEM.
//! COSE numbers are not assigned yet, and those drafts may still change: the names are text of our
//! own, with a version.
use coset::{Algorithm, RegisteredLabelWithPrivate};
use dauth_protocol::key_configuration::Kem;
use hpke::{
    Deserializable, Kem as HpkeKem, OpModeR, OpModeS, Serializable,
    aead::{AeadTag, AesGcm256},
    inout::InOutBuf,
    kdf::{HkdfSha256, Kdf, KdfShake256},
    kem::{X25519HkdfSha256, XWing},
    single_shot_open_inout_detached, single_shot_seal_inout_detached_with_rng,
};
use rand_core::TryCryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::{OpenError, SealError, cose::TAG_BYTES, randomness::Fallible};

const MLKEM768_X25519: &str = "HPKE-Base-MLKEM768-X25519-SHAKE256-AES256GCM-DAuth-1";
const X25519: &str = "HPKE-Base-X25519-SHA256-AES256GCM-DAuth-1";

/// RFC 9180 section 8.1: keeps our envelopes apart from other uses of a key.
pub(crate) const INFO: &[u8] = b"dauth-envelope-v1";

/// Private keys of both KEMs are 32 bytes: an X25519 scalar, or the seed of draft-ietf-hpke-pq.
pub(crate) const PRIVATE_KEY_BYTES: usize = 32;

fn name(kem: Kem) -> &'static str {
    match kem {
        Kem::MlKem768X25519 => MLKEM768_X25519,
        Kem::X25519 => X25519,
    }
}

pub(crate) fn algorithm(kem: Kem) -> Algorithm {
    RegisteredLabelWithPrivate::Text(name(kem).to_owned())
}

pub(crate) fn kem_of(algorithm: &Algorithm) -> Option<Kem> {
    let RegisteredLabelWithPrivate::Text(text) = algorithm else {
        return None;
    };
    [Kem::MlKem768X25519, Kem::X25519]
        .into_iter()
        .find(|kem| name(*kem) == text)
}

/// Key material as a KEM derives it from random bytes (RFC 9180 section 7.1.3).
pub(crate) fn derive_private_key(
    kem: Kem,
    input: &[u8; 64],
) -> Result<Zeroizing<[u8; PRIVATE_KEY_BYTES]>, SealError> {
    match kem {
        Kem::MlKem768X25519 => derive_with::<XWing>(input),
        Kem::X25519 => derive_with::<X25519HkdfSha256>(input),
    }
}

fn derive_with<K: HpkeKem>(input: &[u8]) -> Result<Zeroizing<[u8; PRIVATE_KEY_BYTES]>, SealError> {
    let (private, _) = K::derive_keypair(input);
    let mut encoded = private.to_bytes();
    let mut bytes = Zeroizing::new([0; PRIVATE_KEY_BYTES]);
    let fits = encoded.len() == bytes.len();
    if fits {
        bytes.copy_from_slice(&encoded);
    }
    encoded.zeroize();
    if fits {
        Ok(bytes)
    } else {
        Err(SealError::InvalidKey)
    }
}

pub(crate) fn public_key(kem: Kem, private: &[u8]) -> Result<Vec<u8>, SealError> {
    match kem {
        Kem::MlKem768X25519 => public_key_with::<XWing>(private),
        Kem::X25519 => public_key_with::<X25519HkdfSha256>(private),
    }
}

fn public_key_with<K: HpkeKem>(private: &[u8]) -> Result<Vec<u8>, SealError> {
    let private = K::PrivateKey::from_bytes(private).map_err(|_| SealError::InvalidKey)?;
    Ok(K::sk_to_pk(&private).to_bytes().to_vec())
}

/// Whether `public` decodes as a public key of `kem`.
pub(crate) fn check_public_key(kem: Kem, public: &[u8]) -> Result<(), SealError> {
    let decodes = match kem {
        Kem::MlKem768X25519 => <XWing as HpkeKem>::PublicKey::from_bytes(public).is_ok(),
        Kem::X25519 => <X25519HkdfSha256 as HpkeKem>::PublicKey::from_bytes(public).is_ok(),
    };
    if decodes {
        Ok(())
    } else {
        Err(SealError::InvalidKey)
    }
}

/// Encrypts `buffer` in place, appends the tag, and returns the encapsulated key.
pub(crate) fn seal(
    kem: Kem,
    public: &[u8],
    aad: &[u8],
    buffer: &mut Vec<u8>,
    rng: &mut impl TryCryptoRng,
) -> Result<Vec<u8>, SealError> {
    match kem {
        Kem::MlKem768X25519 => seal_with::<XWing, KdfShake256>(public, aad, buffer, rng),
        Kem::X25519 => seal_with::<X25519HkdfSha256, HkdfSha256>(public, aad, buffer, rng),
    }
}

fn seal_with<K: HpkeKem, D: Kdf>(
    public: &[u8],
    aad: &[u8],
    buffer: &mut Vec<u8>,
    rng: &mut impl TryCryptoRng,
) -> Result<Vec<u8>, SealError> {
    let public = K::PublicKey::from_bytes(public).map_err(|_| SealError::InvalidKey)?;
    let mut rng = Fallible::new(rng);
    let (encapsulated, tag) = single_shot_seal_inout_detached_with_rng::<AesGcm256, D, K>(
        &OpModeS::Base,
        &public,
        INFO,
        InOutBuf::from(buffer.as_mut_slice()),
        aad,
        &mut rng,
    )
    .map_err(|_| SealError::Encryption)?;
    rng.check()?;
    buffer.extend_from_slice(&tag.to_bytes());
    Ok(encapsulated.to_bytes().to_vec())
}

/// Decrypts `buffer` (ciphertext and tag) in place and cuts the tag off.
pub(crate) fn open(
    kem: Kem,
    private: &[u8; PRIVATE_KEY_BYTES],
    encapsulated: &[u8],
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), OpenError> {
    match kem {
        Kem::MlKem768X25519 => open_with::<XWing, KdfShake256>(private, encapsulated, aad, buffer),
        Kem::X25519 => {
            open_with::<X25519HkdfSha256, HkdfSha256>(private, encapsulated, aad, buffer)
        }
    }
}

fn open_with<K: HpkeKem, D: Kdf>(
    private: &[u8; PRIVATE_KEY_BYTES],
    encapsulated: &[u8],
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let private = K::PrivateKey::from_bytes(private).map_err(|_| OpenError)?;
    let encapsulated = K::EncappedKey::from_bytes(encapsulated).map_err(|_| OpenError)?;
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(OpenError)?;
    let (text, tag) = buffer.split_at_mut_checked(length).ok_or(OpenError)?;
    let tag = AeadTag::<AesGcm256>::from_bytes(tag).map_err(|_| OpenError)?;
    single_shot_open_inout_detached::<AesGcm256, D, K>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        INFO,
        InOutBuf::from(text),
        aad,
        &tag,
    )
    .map_err(|_| OpenError)?;
    buffer.truncate(length);
    Ok(())
}
