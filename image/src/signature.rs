//! The signature section: a certificate, and its signature over PCR0.
//!
//! It is CBOR: a list whose first entry has the certificate (PEM) and an untagged COSE_Sign1 (RFC
//! 9052 section 4.2) over `{register_index: 0, register_value: PCR0}`.
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, UnparsedPublicKey,
    VerificationAlgorithm,
};
use coset::{CborSerializable, CoseSign1, RegisteredLabelWithPrivate, iana};
use dauth_protocol::measurement::Pcr;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::error::SignatureError;

mod certificate;

/// A certificate and a signature take a few KiB, as lists of integers twice that.
const MAX_SECTION_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct PcrSignature {
    signing_certificate: ByteBuf,
    signature: ByteBuf,
}

#[derive(Deserialize)]
struct PcrInfo {
    register_index: i32,
    register_value: ByteBuf,
}

/// The certificate (DER) whose key signed `pcr0`.
pub(crate) fn verify(section: &[u8], pcr0: Pcr) -> Result<CertificateDer<'static>, SignatureError> {
    if section.len() > MAX_SECTION_BYTES {
        return Err(SignatureError::Malformed);
    }
    let signatures: Vec<PcrSignature> = decode(section)?;
    // PCR8 is of one certificate: a second entry would be a signer that no register names.
    let [signed] = signatures.as_slice() else {
        return Err(SignatureError::Malformed);
    };
    let certificate = CertificateDer::from_pem_slice(&signed.signing_certificate)
        .map_err(|_| SignatureError::Certificate)?;
    let key = certificate::public_key(&certificate).ok_or(SignatureError::Certificate)?;
    let cose = CoseSign1::from_slice(&signed.signature).map_err(|_| SignatureError::Malformed)?;
    let key = UnparsedPublicKey::new(algorithm(&cose)?, key);
    cose.verify_signature(b"", |signature, message| key.verify(message, signature))
        .map_err(|_| SignatureError::Forged)?;
    let payload = cose.payload.as_deref().ok_or(SignatureError::Malformed)?;
    let info: PcrInfo = decode(payload)?;
    if info.register_index == 0 && info.register_value.as_slice() == pcr0.as_bytes() {
        Ok(certificate)
    } else {
        Err(SignatureError::OtherImage)
    }
}

/// The algorithms that `nitro-cli` signs with, by curve (RFC 9053 section 2.1).
fn algorithm(cose: &CoseSign1) -> Result<&'static dyn VerificationAlgorithm, SignatureError> {
    match &cose.protected.header.alg {
        Some(RegisteredLabelWithPrivate::Assigned(algorithm)) => match algorithm {
            iana::Algorithm::ES256 => Ok(&ECDSA_P256_SHA256_FIXED),
            iana::Algorithm::ES384 => Ok(&ECDSA_P384_SHA384_FIXED),
            iana::Algorithm::ES512 => Ok(&ECDSA_P521_SHA512_FIXED),
            _ => Err(SignatureError::Malformed),
        },
        _ => Err(SignatureError::Malformed),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SignatureError> {
    let mut rest = bytes;
    match ciborium::from_reader(&mut rest) {
        Ok(value) if rest.is_empty() => Ok(value),
        _ => Err(SignatureError::Malformed),
    }
}

#[cfg(test)]
mod tests;
