//! `Recipient` of a request: who it is, proved by an attestation document.
use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use dauth_attestation::{
    Appraisal, AttestationResult, Images, NonceRule, Policy, TrustAnchors, appraise,
};

use super::{cms, error::Refusal};

const RSA_BITS: usize = 2048;

/// A recipient whose document has been verified: root, time, form. Whether its image may use the
/// key is for the key policy to say.
pub struct VerifiedRecipient {
    key: OaepPublicEncryptingKey,
    spki: Vec<u8>,
    result: AttestationResult,
}

impl VerifiedRecipient {
    /// Verifies a document: at most five minutes old, not of an enclave in debug mode, and with an
    /// RSA-2048 key.
    pub fn verify(document: &[u8], anchors: &TrustAnchors, now_ms: u64) -> Result<Self, Refusal> {
        let policy = Policy {
            nonce: NonceRule::Any,
            ..Policy::new(Images::Unconstrained)
        };
        let appraisal = Appraisal {
            anchors,
            policy: &policy,
            now_ms,
        };
        let result = appraise(document, &appraisal)
            .map_err(|error| Refusal::validation(format!("Attestation document: {error}.")))?;
        let spki = result.public_key().unwrap_or_default().to_vec();
        let no_key = "Attestation document: its public_key is no RSA-2048 SubjectPublicKeyInfo.";
        let key = PublicEncryptingKey::from_der(&spki)
            .ok()
            .filter(|key| key.key_size_bits() == RSA_BITS)
            .and_then(|key| OaepPublicEncryptingKey::new(key).ok())
            .ok_or(Refusal::validation(no_key))?;
        Ok(Self { key, spki, result })
    }

    /// The document's condition keys (`kms:RecipientAttestation:…`), lower-case hexadecimal.
    pub fn conditions(&self) -> impl Iterator<Item = (String, String)> {
        let image = self
            .result
            .pcr(0)
            .map(|value| ("ImageSha384".to_owned(), value));
        let registers = self
            .result
            .pcrs()
            .map(|(index, value)| (format!("PCR{index}"), value));
        image.into_iter().chain(registers).map(|(name, value)| {
            (
                format!("kms:RecipientAttestation:{name}"),
                hex::encode(value),
            )
        })
    }

    /// `CiphertextForRecipient` of a plaintext.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
        cms::envelope(&self.key, &self.spki, plaintext).map_err(|_| Refusal::internal())
    }
}
