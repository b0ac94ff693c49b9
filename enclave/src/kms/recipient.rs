//! The enclave as KMS's recipient: an RSA key, and documents that carry it.
use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer,
    error::Unspecified,
    rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use dauth_protocol::Purpose;
use sha2::{Digest, Sha384};
use subtle::ConstantTimeEq;
use tokio::{sync::OnceCell, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{KmsError, envelope::Envelope, fault::ReplyFault};
use crate::{
    platform::{Attester, Claims},
    wipe::wipe_stack_below,
};

/// A data key: AES-256. Never printed, copied or stored; wiped on drop.
///
/// On the heap: what is moved leaves a copy on the stack, where no drop wipes it.
pub struct DataKey(Box<Zeroizing<[u8; 32]>>);

impl DataKey {
    /// From what an envelope held.
    pub(crate) fn from_content(content: &[u8]) -> Result<Self, ReplyFault> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        if content.len() != key.len() {
            return Err(ReplyFault::NotAKey);
        }
        key.copy_from_slice(content);
        Ok(Self(key))
    }

    /// The key, for the cipher that takes it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether they are the same, in constant time.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
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

pub(super) struct RecipientKey {
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

    /// The key, made now if it is not yet.
    pub(super) async fn key(&self) -> Result<&RecipientKey, KmsError> {
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
}

impl RecipientKey {
    /// Opens `CiphertextForRecipient`. A decoy is opened in the place of what cannot be parsed, so
    /// that no fault is told by the time that it takes.
    pub(super) fn open(&self, envelope: Result<&[u8], ReplyFault>) -> Result<DataKey, ReplyFault> {
        let parsed = envelope.and_then(|bytes| Ok(Envelope::parse(bytes)?));
        let (envelope, fault) = match parsed {
            Ok(envelope) => (envelope, None),
            Err(fault) => (Envelope::decoy(), Some(fault)),
        };
        let opened = envelope.open(&self.private);
        wipe_stack_below();
        match fault {
            Some(fault) => Err(fault),
            None => DataKey::from_content(&opened?),
        }
    }

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
