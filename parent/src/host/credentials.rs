//! Credentials of the instance's role, from the instance metadata service or from a file. They let
//! the enclave call KMS, which answers an attested enclave alone.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use dauth_protocol::host::RoleCredentials;
use http::StatusCode;

use super::{Reply, json, keyset, problem};
use crate::{configuration, metrics::Metrics};

mod imds;
mod metadata;

use imds::Imds;

/// The longest credentials.
const MAX_CREDENTIALS_BYTES: usize = 16 * 1024;

/// Where the role's credentials come from.
pub(crate) enum Credentials {
    /// Nowhere: a deployment whose KMS needs none.
    None,
    /// A file that someone else renews; read at each request.
    File(PathBuf),
    /// The instance metadata service.
    Imds(Box<Imds>),
}

/// Why credentials cannot be had as configured.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file and a service.
    #[error("[host] has credentials_file and [host.imds]: credentials come from one of them")]
    Both,
    /// Not the service's address.
    #[error(
        "[host.imds] endpoint is not http://169.254.169.254, http://[fd00:ec2::254] or a loopback \
         address: secrets would leave this host in the clear"
    )]
    Endpoint,
    /// The HTTP client does not start.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Credentials {
    /// As configured; nothing is asked yet.
    pub(crate) fn new(
        host: &configuration::Host,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CredentialsError> {
        match (&host.credentials_file, &host.imds) {
            (None, None) => Ok(Self::None),
            (Some(file), None) => Ok(Self::File(file.clone())),
            (None, Some(service)) => {
                let clock = Arc::new(jiff::Timestamp::now);
                let metadata = metadata::Metadata::new(service)?;
                Ok(Self::Imds(Box::new(Imds::new(metadata, clock, metrics))))
            }
            (Some(_), Some(_)) => Err(CredentialsError::Both),
        }
    }

    pub(super) async fn reply(&self) -> Reply {
        match self {
            Self::None => {
                unavailable("the parent is configured without [host.imds] and credentials_file")
            }
            Self::File(file) => from_file(file).await,
            Self::Imds(imds) => match imds.credentials().await {
                Ok(credentials) => json(&credentials),
                Err(error) => unavailable(&error.to_string()),
            },
        }
    }
}

async fn from_file(file: &Path) -> Reply {
    let path = file.to_owned();
    let read = move || keyset::read(&path, MAX_CREDENTIALS_BYTES);
    let text = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(text))) => text,
        Ok(Ok(None)) => return unreadable(file, "there is no such file"),
        Ok(Err(error)) => return unreadable(file, &error.to_string()),
        Err(_) => return unreadable(file, "it was not read to its end"),
    };
    // Not the parser's own words: they can quote what they stumbled on.
    match serde_json::from_slice::<RoleCredentials>(&text) {
        Ok(credentials) => json(&credentials),
        Err(_) => unavailable("the credentials are not AccessKeyId, SecretAccessKey, Expiration"),
    }
}

fn unreadable(file: &Path, why: &str) -> Reply {
    tracing::error!("cannot read the credentials {}: {why}", file.display());
    unavailable("the credentials cannot be read")
}

fn unavailable(detail: &str) -> Reply {
    problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}
