//! The client of AWS KMS, which releases a data key to an attested image alone.
//!
//! Each request carries a fresh attestation document (`Recipient`), so that KMS can hold PCR0 and
//! PCR16 against the key policy and encrypts the data key to this enclave. TLS ends here; the key's
//! ARN, the region and the endpoint come from measured configuration. The parent supplies the
//! role's credentials and carries the bytes, and can do no more with either than not deliver.
use std::sync::Arc;

use bytes::Bytes;
use dauth_protocol::{DeploymentConfiguration, deployment};

use crate::{host::HostServices, platform::Attester};

pub mod ber;
mod connection;
pub mod custody;
pub mod envelope;
mod error;
mod expiration;
mod fault;
mod json;
mod key_arn;
pub mod key_policy;
mod message;
mod recipient;
mod retry;
mod role;
pub mod sigv4;

pub use connection::Endpoint;
pub use error::{ErrorCode, KmsError};
pub use message::MAX_WRAPPED_KEY_BYTES;
pub use recipient::DataKey;
pub use retry::Backoff;

use connection::Connection;
use fault::ReplyFault;
use message::{KeyContext, Operation, Reply};
use recipient::Recipient;
use role::{Role, Unsigned};

/// What a [`KmsClient`] needs.
pub struct KmsSettings<'a> {
    /// Makes the documents.
    pub attester: Arc<dyn Attester>,
    /// Carries the bytes, and supplies the role's credentials.
    pub host: HostServices,
    /// Roots that the endpoint's certificate may lead to.
    pub roots: Arc<rustls::RootCertStore>,
    /// The deployment, parsed.
    pub configuration: &'a DeploymentConfiguration,
    /// The same, as measured.
    pub configuration_bytes: &'a [u8],
}

/// A client of the deployment's KMS key.
pub struct KmsClient {
    recipient: Arc<Recipient>,
    connection: Connection,
    role: Role,
    kms: deployment::Kms,
    deployment: String,
    backoff: Backoff,
}

/// A new data key, in both its forms.
pub struct GeneratedDataKey {
    /// The key.
    pub key: DataKey,
    /// The key under the KMS key, to be given to [`KmsClient::decrypt`] later.
    pub wrapped: Vec<u8>,
}

/// What KMS answered, opened. Faults stay in here.
struct Released {
    key: Result<DataKey, ReplyFault>,
    wrapped: Result<Vec<u8>, ReplyFault>,
}

/// Asked for where a reply holds no wrapped key; as long as KMS's are.
const DECOY_WRAPPED_KEY: [u8; 184] = [0; 184];

impl KmsClient {
    /// A client that has contacted nobody yet.
    pub fn new(settings: KmsSettings<'_>) -> Result<Self, KmsError> {
        let KmsSettings {
            attester,
            host,
            roots,
            configuration,
            configuration_bytes,
        } = settings;
        let endpoint = Endpoint::of(&configuration.kms)?;
        Ok(Self {
            recipient: Arc::new(Recipient::new(attester, configuration_bytes)),
            connection: Connection::new(endpoint, host.clone(), roots)?,
            role: Role::new(host),
            kms: configuration.kms.clone(),
            deployment: configuration.deployment.clone(),
            backoff: Backoff::default(),
        })
    }

    /// The same client with another patience.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// A client of another key, with the same recipient key and host.
    pub fn for_key(&self, kms: &deployment::Kms) -> Result<Self, KmsError> {
        Ok(Self {
            recipient: Arc::clone(&self.recipient),
            connection: self.connection.to(Endpoint::of(kms)?),
            role: self.role.clone(),
            kms: kms.clone(),
            deployment: self.deployment.clone(),
            backoff: self.backoff,
        })
    }

    /// A new data key, which only an attested image that the key policy names can open again: it
    /// has been decrypted again by KMS.
    ///
    /// That happens whatever the first reply is. A changed envelope may hold another key without a
    /// fault that shows, so a refusal without the second request would tell which ones show.
    pub async fn generate_data_key(&self) -> Result<GeneratedDataKey, KmsError> {
        let made = self.ask(Operation::GenerateDataKey).await?;
        let wrapped = made.wrapped.as_deref().unwrap_or(&DECOY_WRAPPED_KEY);
        let again = match self.ask(Operation::Decrypt(wrapped)).await {
            // It does not open what it has just made: what it made is not what came.
            Err(KmsError::Ciphertext(_)) => return Err(KmsError::ReplyRefused),
            again => again?,
        };
        match (made.key, made.wrapped, again.key) {
            (Ok(key), Ok(wrapped), Ok(again)) if key.equals(&again) => {
                Ok(GeneratedDataKey { key, wrapped })
            }
            _ => Err(KmsError::ReplyRefused),
        }
    }

    /// The data key in `wrapped`.
    ///
    /// Nothing shows yet that it is the right one. To keep that from the parent, what is opened
    /// with it fails as [`KmsError::ReplyRefused`] does.
    pub async fn decrypt(&self, wrapped: &[u8]) -> Result<DataKey, KmsError> {
        let released = self.ask(Operation::Decrypt(wrapped)).await?;
        released.key.map_err(|_| KmsError::ReplyRefused)
    }

    async fn ask(&self, operation: Operation<'_>) -> Result<Released, KmsError> {
        self.backoff.run(|| self.ask_once(operation)).await
    }

    /// A reply with a fault is a reply: it is not asked for again.
    async fn ask_once(&self, operation: Operation<'_>) -> Result<Released, KmsError> {
        let key = KeyContext {
            arn: &self.kms.key_arn,
            deployment: &self.deployment,
        };
        let recipient = self.recipient.key().await?;
        let document = self.recipient.document().await?;
        let body = operation.body(&key, &document);
        let reply = match self.exchange(operation.target(), &body).await? {
            Some(body) => Reply::parse(&body, operation, key.arn),
            None => Reply::faulty(ReplyFault::TooLong),
        };
        Ok(Released {
            key: recipient.open(reply.envelope.as_deref().map_err(|fault| *fault)),
            wrapped: reply.wrapped,
        })
    }

    /// The body of KMS's reply to one signed request; none when it is longer than its bound.
    async fn exchange(&self, target: &str, body: &[u8]) -> Result<Option<Bytes>, KmsError> {
        let request = Unsigned {
            authority: self.connection.endpoint().authority(),
            region: &self.kms.region,
            target,
            body,
        };
        let request = self.role.sign(request).await?;
        match self.connection.exchange(request).await? {
            (200, body) => Ok(body),
            (status, body) => {
                let code = message::error_code(&body.unwrap_or_default());
                Err(KmsError::of_reply(status, code))
            }
        }
    }
}
