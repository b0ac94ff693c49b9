//! The enclave as KMS's recipient: an RSA key, and documents that carry it.
use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use dauth_protocol::Purpose;
use sha2::{Digest, Sha384};
use zeroize::Zeroizing;

use super::{KmsError, envelope::Envelope};
use crate::platform::{Attester, Claims};

/// A data key: AES-256. Never printed, copied or stored; wiped on drop.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// From what an envelope held.
    fn from_content(content: &[u8]) -> Result<Self, KmsError> {
        let mut key = Zeroizing::new([0; 32]);
        if content.len() != key.len() {
            return Err(KmsError::NotAKey);
        }
        key.copy_from_slice(content);
        Ok(Self(key))
    }

    /// The key, for the cipher that takes it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The RSA key that KMS encrypts to. Made once, for it takes up to a quarter of a second.
pub struct Recipient {
    key: Arc<OaepPrivateDecryptingKey>,
    claims: Claims,
    attester: Arc<dyn Attester>,
}

impl Recipient {
    /// Makes the key. Documents will bind it to these bytes of the deployment configuration.
    pub async fn generate(
        attester: Arc<dyn Attester>,
        configuration: &[u8],
    ) -> Result<Self, KmsError> {
        let (key, public_key) = tokio::task::spawn_blocking(|| {
            let key = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
            let public_key = key.public_key().as_der()?.as_ref().to_vec();
            Ok::<_, aws_lc_rs::error::Unspecified>((
                OaepPrivateDecryptingKey::new(key)?,
                public_key,
            ))
        })
        .await
        .map_err(|_| KmsError::RecipientKey)?
        .map_err(|_| KmsError::RecipientKey)?;
        Ok(Self {
            key: Arc::new(key),
            claims: Claims {
                user_data: Purpose::KmsRecipient.user_data(&Sha384::digest(configuration)),
                nonce: Vec::new(),
                public_key,
            },
            attester,
        })
    }

    /// A fresh attestation document: KMS may refuse one that is minutes old.
    pub async fn document(&self) -> Result<Vec<u8>, KmsError> {
        let (attester, claims) = (Arc::clone(&self.attester), self.claims.clone());
        let attest = move || attester.attest(&claims);
        Ok(tokio::task::spawn_blocking(attest)
            .await
            .map_err(|_| KmsError::RecipientKey)??)
    }

    /// Opens `CiphertextForRecipient`.
    pub fn open(&self, envelope: &[u8]) -> Result<DataKey, KmsError> {
        DataKey::from_content(&Envelope::parse(envelope)?.open(&self.key)?)
    }
}
