//! The enclave as KMS's recipient: an RSA key, and documents that carry it.
use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer,
    error::Unspecified,
    rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use dauth_protocol::Purpose;
use sha2::{Digest, Sha384};
use tokio::{sync::OnceCell, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{KmsError, envelope::Envelope};
use crate::platform::{Attester, Claims};

/// A data key: AES-256. Never printed, copied or stored; wiped on drop.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// From what an envelope held.
    pub(crate) fn from_content(content: &[u8]) -> Result<Self, KmsError> {
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

/// The enclave as KMS sees it: an RSA key, made at its first use and kept, for making one takes up
/// to a quarter of a second.
pub(super) struct Recipient {
    key: OnceCell<RecipientKey>,
    /// Binds documents to the deployment configuration.
    user_data: Vec<u8>,
    attester: Arc<dyn Attester>,
}

struct RecipientKey {
    private: OaepPrivateDecryptingKey,
    /// SubjectPublicKeyInfo, DER.
    public: Vec<u8>,
}

impl Recipient {
    /// A recipient whose documents bind these bytes of the deployment configuration.
    pub(super) fn new(attester: Arc<dyn Attester>, configuration: &[u8]) -> Self {
        Self {
            key: OnceCell::new(),
            user_data: Purpose::KmsRecipient.user_data(&Sha384::digest(configuration)),
            attester,
        }
    }

    async fn key(&self) -> Result<&RecipientKey, KmsError> {
        self.key.get_or_try_init(RecipientKey::generate).await
    }

    /// A fresh attestation document: KMS may refuse one that is minutes old.
    pub(super) async fn document(&self) -> Result<Vec<u8>, KmsError> {
        let claims = Claims {
            user_data: self.user_data.clone(),
            nonce: Vec::new(),
            public_key: self.key().await?.public.clone(),
        };
        let attester = Arc::clone(&self.attester);
        Ok(spawn_blocking(move || attester.attest(&claims))
            .await
            .map_err(|_| KmsError::RecipientKey)??)
    }

    /// Opens `CiphertextForRecipient`.
    pub(super) async fn open(&self, envelope: &[u8]) -> Result<DataKey, KmsError> {
        let envelope = Envelope::parse(envelope)?;
        DataKey::from_content(&envelope.open(&self.key().await?.private)?)
    }
}

impl RecipientKey {
    async fn generate() -> Result<Self, KmsError> {
        spawn_blocking(|| {
            let key = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
            let public = key.public_key().as_der()?.as_ref().to_vec();
            let private = OaepPrivateDecryptingKey::new(key)?;
            Ok::<_, Unspecified>(Self { private, public })
        })
        .await
        .map_err(|_| KmsError::RecipientKey)?
        .map_err(|_| KmsError::RecipientKey)
    }
}
