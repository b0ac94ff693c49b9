//! The keys of an enclave, as its evidence endorses them.
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha384};

use crate::{
    Purpose,
    cbor::{self, CborError},
    deployment::KeyPolicyRule,
    limit::MAX_KEY_CONFIGURATION_BYTES,
};

/// What an enclave says of itself. Evidence carries `tag ‖ SHA-384` of its CBOR bytes.
///
/// A verifier hashes the bytes as received and only then decodes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfiguration {
    /// Always 1.
    pub version: u64,
    /// Always `"dauth-evidence-v1"`.
    pub purpose: String,
    /// SubjectPublicKeyInfo (DER) of the TLS key: P-256, made at boot.
    #[serde(with = "serde_bytes")]
    pub tls_key: Vec<u8>,
    /// Keys that envelopes may be sealed to, the preferred one first.
    pub recipients: Vec<RecipientPublicKey>,
    /// SubjectPublicKeyInfo (DER) of the key that signs receipts: P-256.
    #[serde(with = "serde_bytes")]
    pub receipt_key: Vec<u8>,
    /// The same of keys that signed receipts in earlier generations.
    pub former_receipt_keys: Vec<ByteBuf>,
    /// The keyset's id: 16 random bytes.
    #[serde(with = "serde_bytes")]
    pub keyset_id: Vec<u8>,
    /// The keyset's generation: grows with every change.
    pub generation: u64,
    /// Digests of this generation and of those before it, the latest first: 16 bytes each, at most
    /// [`KeyConfiguration::MAX_HISTORY`]. Who has seen one of them knows that this one came of it.
    pub history: Vec<ByteBuf>,
    /// What guards the keyset while no enclave runs.
    pub kms_key: GuardingKey,
    /// The resource identifier of the enclave: `aud` of the tokens that it accepts.
    pub audience: String,
    /// The version of the enclave's program.
    pub build: String,
}

/// The KMS key that guards the keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardingKey {
    /// Its ARN.
    pub arn: String,
    /// Whether the enclave found at boot that nobody can change which images open the keyset.
    pub policy: KeyPolicyRule,
}

/// An HPKE recipient key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientPublicKey {
    /// Names the key in an envelope: 8 bytes.
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// Which key encapsulation.
    pub kem: Kem,
    /// The public key in the KEM's own encoding.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
}

/// Key encapsulation mechanisms for sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kem {
    /// KEM 0x647a: stays closed to a quantum computer that reads today's records.
    #[serde(rename = "MLKEM768-X25519")]
    MlKem768X25519,
    /// KEM 0x0020 (RFC 9180).
    #[serde(rename = "X25519")]
    X25519,
}

impl KeyConfiguration {
    /// The value of [`KeyConfiguration::purpose`].
    pub const PURPOSE: &'static str = "dauth-evidence-v1";

    /// Generations in a history: four years of weekly changes.
    pub const MAX_HISTORY: usize = 256;

    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form. Check it against [`KeyConfiguration::user_data`] first.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let configuration: Self = cbor::decode(bytes, MAX_KEY_CONFIGURATION_BYTES)?;
        match (configuration.version, configuration.purpose.as_str()) {
            (1, Self::PURPOSE) => Ok(configuration),
            (1, _) => Err(CborError::Malformed),
            (version, _) => Err(CborError::UnknownVersion(version)),
        }
    }

    /// The `user_data` of evidence for these bytes.
    pub fn user_data(bytes: &[u8]) -> Vec<u8> {
        Purpose::Evidence.user_data(&Sha384::digest(bytes))
    }
}
