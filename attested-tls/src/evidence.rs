//! Evidence as it is sent, and what remains of it once appraised.
use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_attestation::{
    AgeRule, Appraisal, AttestationResult, Images, NonceRule, Policy, TrustAnchors, appraise,
};
use dauth_protocol::{
    KeyConfiguration,
    deployment::KeyPolicyRule,
    limit::{MAX_DOCUMENT_BYTES, MAX_KEY_CONFIGURATION_BYTES},
};
use serde::{Deserialize, Serialize};

use crate::{EvidenceError, KeysetMemory};

/// An evidence reply: document and key configuration in base64, and the JSON around them.
pub const MAX_EVIDENCE_BYTES: usize =
    (MAX_DOCUMENT_BYTES + MAX_KEY_CONFIGURATION_BYTES) / 3 * 4 + 1024;

/// The only type of evidence that there is yet.
const AWS_NITRO: &str = "aws-nitro";

/// What a relying party requires of an enclave. None of it comes from the parent or the issuer.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Roots of attestation.
    pub anchors: TrustAnchors,
    /// Images, and deployments of them, that are trusted.
    pub images: Images,
    /// The enclave's resource identifier, byte for byte.
    pub audience: String,
    /// How old a document may be.
    pub max_age: Duration,
    /// How the KMS key that guards the keyset must itself be guarded.
    pub custody: Custody,
    /// The keysets seen before, which [`crate::connect()`] adds to.
    pub keysets: Arc<KeysetMemory>,
}

/// What is required of the KMS key that guards an enclave's keyset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Custody {
    /// Nothing: its administrators are trusted not to let another image open the keyset.
    #[default]
    Any,
    /// That the enclave found its policy locked at boot: nobody can let another image in.
    LockedKey,
}

/// The JSON reply to `GET /.well-known/dauth/evidence`.
#[derive(Serialize, Deserialize)]
struct Reply {
    #[serde(rename = "type")]
    kind: String,
    document: String,
    key_configuration: String,
}

/// Evidence as received: decoded, and not yet believed.
#[derive(Clone, Debug)]
pub struct Evidence {
    document: Vec<u8>,
    key_configuration: Vec<u8>,
}

impl Evidence {
    /// Decodes the JSON reply.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let reply: Reply = serde_json::from_slice(bytes).map_err(|_| EvidenceError::Malformed)?;
        if reply.kind != AWS_NITRO {
            return Err(EvidenceError::UnknownType(
                reply.kind.chars().take(64).collect(),
            ));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| EvidenceError::Malformed);
        Ok(Self {
            document: decode(&reply.document)?,
            key_configuration: decode(&reply.key_configuration)?,
        })
    }

    /// The JSON reply, as an enclave sends it.
    pub fn to_json(document: &[u8], key_configuration: &[u8]) -> Vec<u8> {
        let reply = Reply {
            kind: AWS_NITRO.to_owned(),
            document: STANDARD.encode(document),
            key_configuration: STANDARD.encode(key_configuration),
        };
        serde_json::to_vec(&reply).unwrap_or_default()
    }

    /// Appraises the document for `nonce` at `now_ms`, and binds the key configuration to it.
    ///
    /// Nothing is noted of the keyset: evidence alone does not say who sent it.
    pub fn appraise(
        self,
        expectations: &Expectations,
        nonce: &[u8],
        now_ms: u64,
    ) -> Result<EndorsedKeys, EvidenceError> {
        let mut policy = Policy::new(expectations.images.clone());
        policy.nonce = NonceRule::Equals(nonce.to_vec());
        policy.age = AgeRule::AtMost(expectations.max_age);
        let keys = self.endorse(expectations, &policy, now_ms)?;
        expectations.keysets.compare(&keys.key_configuration)?;
        Ok(keys)
    }

    /// Appraises evidence that was kept, at a time that its reader names: for what was signed then.
    /// Nothing says that it is the enclave's latest, so it is not compared with what was seen since.
    pub fn appraise_kept(
        self,
        expectations: &Expectations,
        at_ms: u64,
    ) -> Result<EndorsedKeys, EvidenceError> {
        let mut policy = Policy::new(expectations.images.clone());
        policy.nonce = NonceRule::Any;
        policy.age = AgeRule::Any;
        self.endorse(expectations, &policy, at_ms)
    }

    fn endorse(
        self,
        expectations: &Expectations,
        policy: &Policy,
        now_ms: u64,
    ) -> Result<EndorsedKeys, EvidenceError> {
        let appraisal = Appraisal {
            anchors: &expectations.anchors,
            policy,
            now_ms,
        };
        let result = appraise(&self.document, &appraisal).map_err(EvidenceError::Document)?;
        let bound = KeyConfiguration::user_data(&self.key_configuration);
        if result.user_data() != Some(bound.as_slice()) {
            return Err(EvidenceError::NotTheseKeys);
        }
        let key_configuration = KeyConfiguration::from_cbor(&self.key_configuration)
            .map_err(EvidenceError::KeyConfiguration)?;
        if key_configuration.audience != expectations.audience {
            return Err(EvidenceError::OtherAudience {
                expected: expectations.audience.clone(),
                found: key_configuration.audience,
            });
        }
        let is_locked = key_configuration.kms_key.policy == KeyPolicyRule::Locked;
        if expectations.custody == Custody::LockedKey && !is_locked {
            return Err(EvidenceError::UnlockedKey);
        }
        Ok(EndorsedKeys {
            result,
            key_configuration,
            evidence: self,
        })
    }
}

/// Keys that an attestation result endorses. Made by appraising evidence alone.
#[derive(Clone, Debug)]
pub struct EndorsedKeys {
    result: AttestationResult,
    key_configuration: KeyConfiguration,
    evidence: Evidence,
}

impl EndorsedKeys {
    /// What the document says.
    pub fn attestation_result(&self) -> &AttestationResult {
        &self.result
    }

    /// The enclave's keys.
    pub fn key_configuration(&self) -> &KeyConfiguration {
        &self.key_configuration
    }

    /// The key configuration as it was hashed.
    pub fn key_configuration_bytes(&self) -> &[u8] {
        &self.evidence.key_configuration
    }

    /// The attestation document as it was received.
    pub fn document(&self) -> &[u8] {
        &self.evidence.document
    }
}
