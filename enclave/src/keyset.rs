//! The enclave's long-lived keys: made once, sealed under KMS, endorsed by the image that made them.
//!
//! Two things must hold before a keyset is used. Its *birth document* verifies: an attestation, by
//! this image or a measured predecessor with its configuration, of the keyset's id, generation,
//! public keys, record key commitments and wrapped data key (module `birth`). And its private keys
//! open under the data key that KMS releases to this attested image. The first keeps out a keyset
//! that someone with rights on the KMS key made himself; the second, one whose keys others know.
//!
//! What neither shows is age: the parent may serve an older generation that a trusted image made.
//! It can open no record that this generation's rotated keys sealed.
use std::sync::Arc;

use dauth_attestation::TrustAnchors;
use dauth_protocol::{
    DeploymentConfiguration, Purpose, deployment::Predecessor, measurement::CONFIGURATION_PCR,
};
use dauth_sealing::{RecipientKey, RecordKey};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha384};
use tokio::task::spawn_blocking;

use crate::{
    clock,
    host::{HostServices, PutKeyset},
    kms::{GeneratedDataKey, KmsClient, KmsError, KmsSettings},
    platform::{Attester, AttesterError, Claims, Platform},
    trust::Trust,
};

mod birth;
mod entropy;
mod error;
mod file;
mod keeper;
mod receipt_key;
mod secrets;

pub use error::KeysetError;
pub use keeper::{Keeper, Serving};
pub use receipt_key::{ReceiptKey, ReceiptKeyError};

use birth::{BirthRules, BornKeyset};
use entropy::Entropy;
use file::{File, Statement};
use secrets::NewKeys;

const IMAGE_PCR: u16 = 0;

/// The keys. Private parts are wiped on drop; there is no Debug, Clone or Serialize.
pub struct Keyset {
    id: [u8; 16],
    generation: u64,
    recipients: Vec<RecipientKey>,
    record_key: RecordKey,
    older_record_keys: Vec<RecordKey>,
    receipt_key: ReceiptKey,
}

impl Keyset {
    /// The keyset's id.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Grows with every change of the keyset.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Keys that envelopes are sealed to, the preferred one first.
    pub fn recipients(&self) -> &[RecipientKey] {
        &self.recipients
    }

    /// The key that an envelope names.
    pub fn recipient(&self, id: &[u8]) -> Option<&RecipientKey> {
        self.recipients.iter().find(|key| key.id() == id)
    }

    /// The key that new records are sealed under.
    pub fn record_key(&self) -> &RecordKey {
        &self.record_key
    }

    /// The key that a record names.
    pub fn record_key_by_id(&self, id: &[u8]) -> Option<&RecordKey> {
        std::iter::once(&self.record_key)
            .chain(&self.older_record_keys)
            .find(|key| key.id() == id)
    }

    /// The key that signs receipts.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }
}

/// What creating and loading a keyset need.
pub struct KeysetContext {
    attester: Arc<dyn Attester>,
    host: HostServices,
    anchors: TrustAnchors,
    configuration: DeploymentConfiguration,
    kms: KmsClient,
}

impl KeysetContext {
    /// Of a platform whose PCR16 holds the measurement of `configuration_bytes`.
    pub fn new(
        platform: &Platform,
        host: &HostServices,
        trust: &Trust,
        configuration: &DeploymentConfiguration,
        configuration_bytes: &[u8],
    ) -> Result<Self, KeysetError> {
        let kms = KmsClient::new(KmsSettings {
            attester: Arc::clone(&platform.attester),
            host: host.clone(),
            roots: Arc::clone(&trust.kms),
            configuration,
            configuration_bytes,
        })?;
        Ok(Self {
            attester: Arc::clone(&platform.attester),
            host: host.clone(),
            anchors: trust.attestation.clone(),
            configuration: configuration.clone(),
            kms,
        })
    }

    /// The image and configuration that run.
    async fn running(&self) -> Result<Predecessor, KeysetError> {
        let attester = Arc::clone(&self.attester);
        blocking(move || {
            Ok(Predecessor {
                pcr0: attester.describe_pcr(IMAGE_PCR)?.value,
                pcr16: attester.describe_pcr(CONFIGURATION_PCR)?.value,
            })
        })
        .await
    }

    fn rules<'a>(&'a self, running: &'a Predecessor, now_ms: u64) -> BirthRules<'a> {
        BirthRules {
            anchors: &self.anchors,
            configuration: &self.configuration,
            running,
            now_ms,
        }
    }
}

impl KeysetContext {
    /// Whether it is the running image or the keyset's maker that has no business here: KMS knows
    /// which images may open the keyset. What it releases is thrown away.
    async fn why_other(&self, wrapped_key: &[u8]) -> KeysetError {
        match self.kms.decrypt(wrapped_key).await {
            Err(KmsError::AccessDenied) => KmsError::AccessDenied.into(),
            _ => KeysetError::OtherImage,
        }
    }
}

/// Makes a keyset where there is none: an explicit, one-time act.
pub async fn create(context: &KeysetContext, now_s: u64) -> Result<(), KeysetError> {
    let data_key = context.kms.generate_data_key().await?;
    let attester = Arc::clone(&context.attester);
    let configuration = context.configuration.clone();
    let mut file = blocking(move || give_birth(&*attester, &configuration, data_key)).await?;
    // Refused now rather than at the next boot: a document that this very image cannot verify.
    let running = context.running().await?;
    let rules = context.rules(&running, now_s.saturating_mul(1000));
    file.created_ms = rules.time_of_birth(&file.birth)?;
    let bytes = file.to_cbor()?;
    BornKeyset::verify(file, &rules)?;
    match context.host.put_keyset(&bytes).await? {
        PutKeyset::Stored => {}
        PutKeyset::AlreadyThere => return Err(KeysetError::AlreadyThere),
    }
    if context.host.keyset().await? == Some(bytes) {
        Ok(())
    } else {
        Err(KeysetError::NotStored)
    }
}

/// Loads the keyset: the birth document is verified before KMS is asked for anything.
pub async fn load(context: &KeysetContext) -> Result<Keyset, KeysetError> {
    let bytes = context.host.keyset().await?.ok_or(KeysetError::Missing)?;
    let running = context.running().await?;
    let rules = context.rules(&running, clock::now_ms());
    let file = File::from_cbor(&bytes)?;
    let wrapped_key = file.wrapped_key.to_vec();
    let born = match BornKeyset::verify(file, &rules) {
        Err(KeysetError::OtherImage) => return Err(context.why_other(&wrapped_key).await),
        born => born?,
    };
    let data_key = context.kms.decrypt(born.wrapped_key()).await?;
    let (file, statement) = born.into_parts();
    secrets::open(file, &statement, &data_key)
}

/// New keys, the document of their birth, and both sealed into a file.
fn give_birth(
    attester: &dyn Attester,
    configuration: &DeploymentConfiguration,
    data_key: GeneratedDataKey,
) -> Result<File, KeysetError> {
    let GeneratedDataKey { key, wrapped } = data_key;
    let mut entropy = Entropy::new(attester);
    let keys = NewKeys::generate(&mut entropy)?;
    let mut statement = Statement {
        version: Statement::VERSION,
        deployment: configuration.deployment.clone(),
        key_arn: configuration.kms.key_arn.clone(),
        wrapped_key_sha384: ByteArray::new(Sha384::digest(&wrapped).into()),
        keyset_id: ByteArray::new(*secrets::random(&mut entropy)?),
        generation: 1,
        recipients: Vec::new(),
        records: Vec::new(),
        receipt_key: ByteBuf::new(),
    };
    keys.describe(&mut statement);
    let statement = statement.to_cbor()?;
    let birth = attester.attest(&Claims {
        user_data: Purpose::KeysetBirth.user_data(&Sha384::digest(&statement)),
        ..Claims::default()
    })?;
    let mut file = File::new(statement, birth, wrapped);
    keys.seal(&mut file, &key, &mut entropy)?;
    Ok(file)
}

/// Runs what may wait for the Nitro Secure Module outside the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeysetError> + Send + 'static,
) -> Result<T, KeysetError> {
    spawn_blocking(work)
        .await
        .map_err(|_| AttesterError::Unavailable)?
}

#[cfg(test)]
mod tests;
