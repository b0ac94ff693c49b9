//! A generation that serves, and what clients are told of it.
use dauth_protocol::{KeyConfiguration, deployment::KeyPolicyRule, key_configuration::GuardingKey};

use serde_bytes::ByteBuf;

use super::Keyset;

/// A generation that serves. A call under way holds it, whatever comes after it.
pub struct Serving {
    keyset: Keyset,
    key_configuration: Vec<u8>,
}

impl Serving {
    pub(super) fn new(keyset: Keyset, announcement: &Announcement) -> Self {
        Self {
            key_configuration: announcement.of(&keyset).to_cbor(),
            keyset,
        }
    }

    /// The keys.
    pub fn keyset(&self) -> &Keyset {
        &self.keyset
    }

    /// What evidence says of them: the CBOR of a [`KeyConfiguration`].
    pub fn key_configuration(&self) -> &[u8] {
        &self.key_configuration
    }
}

/// What a key configuration says beside the keyset's keys: the same for every generation.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// SubjectPublicKeyInfo (DER) of the TLS key.
    pub tls_key: Vec<u8>,
    /// The KMS key that the configuration names now, and what was found of its policy.
    pub kms_key: GuardingKey,
    /// The resource identifier of the enclave.
    pub audience: String,
}

impl Announcement {
    /// The key configuration of a generation.
    pub fn of(&self, keyset: &Keyset) -> KeyConfiguration {
        KeyConfiguration {
            version: 1,
            purpose: KeyConfiguration::PURPOSE.to_owned(),
            tls_key: self.tls_key.clone(),
            recipients: keyset.recipients().iter().map(|key| key.public()).collect(),
            receipt_key: keyset.receipt_key().spki().to_vec(),
            former_receipt_keys: keyset
                .former_receipt_keys()
                .map(|key| key.to_vec().into())
                .collect(),
            keyset_id: keyset.id().to_vec(),
            generation: keyset.generation(),
            history: keyset.history().map(ByteBuf::from).collect(),
            kms_key: self.guarding(keyset),
            audience: self.audience.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The KMS key that this generation is under. Nothing was found of a former one's policy.
    fn guarding(&self, keyset: &Keyset) -> GuardingKey {
        let arn = &keyset.statement.key_arn;
        let policy = if *arn == self.kms_key.arn {
            self.kms_key.policy
        } else {
            KeyPolicyRule::Unchecked
        };
        GuardingKey {
            arn: arn.clone(),
            policy,
        }
    }
}
