//! What making and loading a keyset need.
use std::sync::Arc;

use dauth_attestation::TrustAnchors;
use dauth_protocol::{
    DeploymentConfiguration, deployment::Predecessor, measurement::CONFIGURATION_PCR,
};
use tokio::task::spawn_blocking;

use super::{
    KeysetError,
    birth::{BirthRules, IMAGE_PCR},
    data_keys::{DataKeys, KmsKeys},
};
use crate::{
    host::HostServices,
    kms::{KmsClient, KmsError},
    platform::{Attester, AttesterError, Platform},
    trust::Trust,
};

/// What making and loading a keyset need.
pub struct KeysetContext {
    pub(super) attester: Arc<dyn Attester>,
    pub(super) host: HostServices,
    pub(super) anchors: TrustAnchors,
    pub(super) configuration: DeploymentConfiguration,
    pub(super) data_keys: Arc<dyn DataKeys>,
}

impl KeysetContext {
    /// Of a platform whose PCR16 holds the measurement of `configuration`, whose KMS key `kms` asks.
    pub fn new(
        platform: &Platform,
        host: &HostServices,
        trust: &Trust,
        configuration: &DeploymentConfiguration,
        kms: KmsClient,
    ) -> Result<Self, KeysetError> {
        Ok(Self {
            attester: Arc::clone(&platform.attester),
            host: host.clone(),
            anchors: trust.attestation.clone(),
            configuration: configuration.clone(),
            data_keys: Arc::new(KmsKeys::new(kms, configuration)?),
        })
    }

    pub(super) async fn running(&self) -> Result<Predecessor, KeysetError> {
        running(Arc::clone(&self.attester)).await
    }

    pub(super) fn rules<'a>(&'a self, running: &'a Predecessor, now_ms: u64) -> BirthRules<'a> {
        BirthRules {
            anchors: &self.anchors,
            configuration: &self.configuration,
            running,
            now_ms,
        }
    }

    /// Whether it is the running image or the keyset's maker that has no business here: KMS knows
    /// which images may open the keyset. What it releases is thrown away.
    pub(super) async fn why_other(&self, wrapped_key: &[u8]) -> KeysetError {
        let key_arn = &self.configuration.kms.key_arn;
        match self.data_keys.decrypt(key_arn, wrapped_key).await {
            Err(KmsError::AccessDenied) => KmsError::AccessDenied.into(),
            _ => KeysetError::OtherImage,
        }
    }
}

/// The image and configuration that run.
pub async fn running(attester: Arc<dyn Attester>) -> Result<Predecessor, KeysetError> {
    blocking(move || {
        Ok(Predecessor {
            pcr0: attester.describe_pcr(IMAGE_PCR)?.value,
            pcr16: attester.describe_pcr(CONFIGURATION_PCR)?.value,
        })
    })
    .await
}

/// Runs what may wait for the Nitro Secure Module outside the reactor.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeysetError> + Send + 'static,
) -> Result<T, KeysetError> {
    spawn_blocking(work)
        .await
        .map_err(|_| AttesterError::Unavailable)?
}
