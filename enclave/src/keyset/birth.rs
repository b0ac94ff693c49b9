//! The birth document: who made a keyset.
//!
//! A birth document is judged *at its own timestamp*, for it is as old as the keyset and its
//! certificates lived for hours. Anywhere else that would be wrong: evidence shows what runs now,
//! and a document that may be of any age shows it of no time. A birth is a fact of the past, and
//! stays true. What the passing of time weakens is the document's signature: a key of the hardware
//! that leaks after its certificate has expired could sign a false birth in the past. That alone
//! plants no keyset, because the private keys must also open under a data key which KMS releases to
//! images in the key policy. Neither check replaces the other: the data key shows that the KMS key
//! was used, the birth document shows by whom.
use core::time::Duration;

use dauth_attestation::{
    AgeRule, Appraisal, DebugMode, Error, Images, NonceRule, Policy, ReferenceValues, TrustAnchors,
};
use dauth_protocol::{
    DeploymentConfiguration, Purpose, deployment::Predecessor, measurement::CONFIGURATION_PCR,
};
use sha2::{Digest, Sha384};

use super::{KeysetError, file::File, statement::Statement};
use crate::clock::MAX_DIFFERENCE_S;

pub(super) const IMAGE_PCR: u16 = 0;
/// How far the module, which dates births, may be ahead of the enclave's clock: as far as the enclave
/// serves, and the fractions of a second that both drop. Less would keep an enclave that serves from
/// changing its keyset, and from taking over what another has made just now.
const LEEWAY: Duration = Duration::from_secs(MAX_DIFFERENCE_S + 2);

/// What a birth must satisfy.
pub(super) struct BirthRules<'a> {
    /// Who signs attestation documents.
    pub(super) anchors: &'a TrustAnchors,
    /// The running deployment: its predecessors, its name, its KMS keys.
    pub(super) configuration: &'a DeploymentConfiguration,
    /// The running image and configuration.
    pub(super) running: &'a Predecessor,
    /// Now: nothing was born later.
    pub(super) now_ms: u64,
}

/// A keyset file whose birth has been verified: it is worth asking KMS for its data key.
pub(super) struct BornKeyset {
    file: File,
    statement: Statement,
}

impl BornKeyset {
    /// Verifies the birth document, and that the file is of this deployment.
    pub(super) fn verify(file: File, rules: &BirthRules<'_>) -> Result<Self, KeysetError> {
        let policy = rules.policy();
        let result = dauth_attestation::appraise(
            &file.birth,
            &Appraisal {
                anchors: rules.anchors,
                policy: &policy,
                now_ms: file.created_ms,
            },
        )
        .map_err(|error| match error {
            Error::UnknownImage(_) => KeysetError::OtherImage,
            error => KeysetError::Birth(error),
        })?;
        // The time that was appraised at is the signed one, not the parent's choice.
        let latest_ms = rules.now_ms.saturating_add(leeway_ms());
        if result.timestamp_ms() != file.created_ms || file.created_ms > latest_ms {
            return Err(KeysetError::CreationTime);
        }
        let user_data = result.user_data().unwrap_or_default();
        let digest = Purpose::KeysetBirth
            .digest_of(user_data)
            .ok_or(KeysetError::OtherPurpose)?;
        if digest != Sha384::digest(&file.statement).as_slice() {
            return Err(KeysetError::OtherBirth);
        }
        let statement = Statement::from_cbor(&file.statement)?;
        if statement.deployment != rules.configuration.deployment
            || !rules.is_kms_key(&statement.key_arn)
        {
            return Err(KeysetError::OtherDeployment);
        }
        if *statement.wrapped_key_sha384 != *Sha384::digest(&file.wrapped_key) {
            return Err(KeysetError::OtherWrappedKey);
        }
        Ok(Self { file, statement })
    }

    /// The data key, under the KMS key that the statement names.
    pub(super) fn wrapped_key(&self) -> &[u8] {
        &self.file.wrapped_key
    }

    /// What the birth document endorses; its KMS key is one that the configuration names.
    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The parts, for opening.
    pub(super) fn into_parts(self) -> (File, Statement) {
        (self.file, self.statement)
    }
}

impl BirthRules<'_> {
    /// The signed time of a document that was made just now.
    pub(super) fn time_of_birth(&self, document: &[u8]) -> Result<u64, KeysetError> {
        let policy = Policy {
            age: AgeRule::AtMost(Policy::DEFAULT_MAX_AGE),
            ..self.policy()
        };
        let appraisal = Appraisal {
            anchors: self.anchors,
            policy: &policy,
            now_ms: self.now_ms,
        };
        dauth_attestation::appraise(document, &appraisal)
            .map(|result| result.timestamp_ms())
            .map_err(KeysetError::Birth)
    }

    fn is_kms_key(&self, arn: &str) -> bool {
        std::iter::once(&self.configuration.kms)
            .chain(&self.configuration.former_kms)
            .any(|kms| kms.key_arn == arn)
    }

    fn policy(&self) -> Policy {
        let images = std::iter::once(self.running)
            .chain(&self.configuration.predecessors)
            .map(|image| {
                ReferenceValues::new()
                    .with_pcr(IMAGE_PCR, image.pcr0.as_bytes())
                    .with_pcr(CONFIGURATION_PCR, image.pcr16.as_bytes())
            })
            .collect();
        Policy {
            // Nobody asks for a birth: there is no verifier yet whose nonce it could carry.
            nonce: NonceRule::Any,
            age: AgeRule::Any,
            leeway: LEEWAY,
            debug_mode: DebugMode::Refuse,
            ..Policy::new(Images::AnyOf(images))
        }
    }
}

fn leeway_ms() -> u64 {
    u64::try_from(LEEWAY.as_millis()).unwrap_or_default()
}
