//! Where data keys come from.
use dauth_protocol::DeploymentConfiguration;

use crate::{
    kms::{DataKey, GeneratedDataKey, KmsClient, KmsError},
    platform::BoxFuture,
};

/// What makes data keys and gives them again: KMS, and in tests its like.
pub(super) trait DataKeys: Send + Sync {
    /// A new data key of the KMS key that the configuration names now.
    fn generate(&self) -> BoxFuture<'_, Result<GeneratedDataKey, KmsError>>;
    /// The data key in `wrapped`, which the KMS key `key_arn` made.
    fn decrypt<'a>(
        &'a self,
        key_arn: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey, KmsError>>;
}

/// KMS: the key that is named now, and those that were.
pub(super) struct KmsKeys {
    current: KmsClient,
    former: Vec<(String, KmsClient)>,
}

impl KmsKeys {
    pub(super) fn new(
        current: KmsClient,
        configuration: &DeploymentConfiguration,
    ) -> Result<Self, KmsError> {
        let former = configuration
            .former_kms
            .iter()
            .map(|kms| Ok((kms.key_arn.clone(), current.for_key(kms)?)))
            .collect::<Result<_, KmsError>>()?;
        Ok(Self { current, former })
    }
}

impl DataKeys for KmsKeys {
    fn generate(&self) -> BoxFuture<'_, Result<GeneratedDataKey, KmsError>> {
        Box::pin(self.current.generate_data_key())
    }

    fn decrypt<'a>(
        &'a self,
        key_arn: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey, KmsError>> {
        // The birth's verification leaves the keys that the configuration names: what is not a
        // former one is the current one.
        let former = self.former.iter().find(|(arn, _)| arn == key_arn);
        let client = former.map_or(&self.current, |(_, client)| client);
        Box::pin(client.decrypt(wrapped))
    }
}
