//! A recipient key that an attestation result endorses.
use dauth_attestation::AttestationResult;
use dauth_protocol::{
    KeyConfiguration,
    key_configuration::{Kem, RecipientPublicKey},
};

use crate::{SealError, suite};

/// The public key of an enclave whose evidence was appraised.
///
/// Its one constructor is the check itself.
#[derive(Clone, Debug)]
pub struct AttestedRecipientKey {
    key: RecipientPublicKey,
    audience: String,
}

impl AttestedRecipientKey {
    /// The enclave's preferred recipient key for `kem`, out of the key-configuration bytes that
    /// the appraised evidence endorses.
    ///
    /// Checks again that `user_data` is the evidence tag and the hash of exactly these bytes.
    pub fn select(
        attestation: &AttestationResult,
        key_configuration: &[u8],
        kem: Kem,
    ) -> Result<Self, SealError> {
        Self::endorsed_by(attestation.user_data(), key_configuration, kem)
    }

    fn endorsed_by(
        user_data: Option<&[u8]>,
        key_configuration: &[u8],
        kem: Kem,
    ) -> Result<Self, SealError> {
        if user_data != Some(&KeyConfiguration::user_data(key_configuration)) {
            return Err(SealError::NotEndorsed);
        }
        let configuration =
            KeyConfiguration::from_cbor(key_configuration).map_err(SealError::KeyConfiguration)?;
        let key = configuration
            .recipients
            .into_iter()
            .find(|recipient| recipient.kem == kem)
            .ok_or(SealError::NoRecipientKey)?;
        suite::check_public_key(key.kem, &key.key)?;
        Ok(Self {
            key,
            audience: configuration.audience,
        })
    }

    /// The resource identifier of the attested enclave.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    pub(crate) fn key(&self) -> &RecipientPublicKey {
        &self.key
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use dauth_protocol::{deployment::KeyPolicyRule, key_configuration::GuardingKey};

    use super::*;
    use crate::{RecipientKey, randomness::tests::rng};

    pub(crate) const AUDIENCE: &str = "https://enclave.example";

    pub(crate) fn attested(key: &RecipientKey) -> AttestedRecipientKey {
        AttestedRecipientKey {
            key: key.public(),
            audience: AUDIENCE.to_owned(),
        }
    }

    fn configuration(recipients: Vec<RecipientPublicKey>) -> Vec<u8> {
        KeyConfiguration {
            version: 1,
            purpose: KeyConfiguration::PURPOSE.to_owned(),
            tls_key: vec![1],
            recipients,
            receipt_key: vec![2],
            former_receipt_keys: Vec::new(),
            keyset_id: vec![3; 16],
            generation: 1,
            history: Vec::new(),
            kms_key: GuardingKey {
                arn: "arn:aws:kms:eu-west-1:000000000000:key/k".to_owned(),
                policy: KeyPolicyRule::Unchecked,
            },
            audience: AUDIENCE.to_owned(),
            build: "test".to_owned(),
        }
        .to_cbor()
    }

    #[test]
    fn selects_the_first_key_of_the_kem() {
        let key = |kem, id| {
            RecipientKey::generate(kem, [id; 8], &mut rng(1))
                .unwrap()
                .public()
        };
        let bytes = configuration(vec![
            key(Kem::X25519, 1),
            key(Kem::MlKem768X25519, 2),
            key(Kem::MlKem768X25519, 3),
        ]);
        let user_data = KeyConfiguration::user_data(&bytes);
        let select =
            |kem| AttestedRecipientKey::endorsed_by(Some(&user_data), &bytes, kem).unwrap();
        assert_eq!(select(Kem::MlKem768X25519).key().id, [2; 8]);
        assert_eq!(select(Kem::X25519).key().id, [1; 8]);
        assert_eq!(select(Kem::X25519).audience(), AUDIENCE);
    }

    #[test]
    fn refuses_what_is_not_endorsed() {
        let key = RecipientKey::generate(Kem::X25519, [1; 8], &mut rng(1)).unwrap();
        let bytes = configuration(vec![key.public()]);
        let user_data = KeyConfiguration::user_data(&bytes);
        let select = |user_data: Option<&[u8]>, bytes: &[u8], kem| {
            AttestedRecipientKey::endorsed_by(user_data, bytes, kem).map(drop)
        };
        assert_eq!(select(Some(&user_data), &bytes, Kem::X25519), Ok(()));
        let mut other_bytes = bytes.clone();
        *other_bytes.last_mut().unwrap() ^= 1;
        let other_purpose = [b"dauth-time-v1:", &user_data[18..]].concat();
        for (user_data, bytes) in [
            (None, bytes.as_slice()),
            (Some(&[][..]), &bytes),
            (Some(&user_data), &other_bytes),
            (Some(&user_data[..user_data.len() - 1]), &bytes),
            (Some(&other_purpose), &bytes),
        ] {
            let refused = select(user_data, bytes, Kem::X25519);
            assert_eq!(refused, Err(SealError::NotEndorsed));
        }
        assert_eq!(
            select(Some(&user_data), &bytes, Kem::MlKem768X25519),
            Err(SealError::NoRecipientKey)
        );
    }

    #[test]
    fn refuses_an_endorsed_key_that_is_none() {
        let mut key = RecipientKey::generate(Kem::X25519, [1; 8], &mut rng(1))
            .unwrap()
            .public();
        key.key.pop();
        let bytes = configuration(vec![key]);
        let user_data = KeyConfiguration::user_data(&bytes);
        let refused = AttestedRecipientKey::endorsed_by(Some(&user_data), &bytes, Kem::X25519);
        assert_eq!(refused.map(drop), Err(SealError::InvalidKey));
    }
}
