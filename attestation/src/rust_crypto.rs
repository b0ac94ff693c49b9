//! ECDSA over P-384 with SHA-384 in Rust alone, for where AWS-LC does not build.
use p384::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Digest, Sha384};

/// ECDSA_P384_SHA384 of the RustCrypto crates.
#[derive(Debug)]
pub(crate) struct P384Sha384;

/// The first byte of an uncompressed point (SEC 1 section 2.3.3). RFC 5480 section 2.2 leaves other
/// forms to choice; AWS uses none, so there is one form less to agree upon.
const UNCOMPRESSED: u8 = 0x04;

impl SignatureVerificationAlgorithm for P384Sha384 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if public_key.first() != Some(&UNCOMPRESSED) {
            return Err(InvalidSignature);
        }
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&Sha384::digest(message), &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}
