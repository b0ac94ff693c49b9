//! Requests to the instance metadata service, version 2. What it says is not secret but the token
//! and the credentials, of which nothing is kept or printed.
use std::time::Duration;

use reqwest::{Client, RequestBuilder, redirect};
use zeroize::Zeroizing;

/// Where the service is.
pub(super) const ENDPOINT: &str = "http://169.254.169.254";
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REPLY_BYTES: usize = 16 * 1024;

/// A session with the service.
pub(super) struct Metadata {
    client: Client,
    endpoint: String,
    token: Zeroizing<String>,
}

/// Why there is no session, or no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetadataError {
    /// No client could be made.
    #[error("no HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// Nobody is there.
    #[error("{0} cannot be connected to")]
    Unreachable(String),
    /// A connection and no reply: a reply whose hop limit is used up never arrives.
    #[error("{0} takes the connection and does not answer")]
    NoAnswer(String),
    /// Another status than 200.
    #[error("the service answers with status {0}")]
    Status(u16),
    /// Longer than it should be, or no text.
    #[error("the service answers with something else than was asked for")]
    Malformed,
}

impl Metadata {
    /// Begins a session by a PUT, as version 2 wants it.
    pub(super) async fn begin(endpoint: &str) -> Result<Self, MetadataError> {
        // The client wants a provider even where it speaks no TLS.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .tls_certs_only([])
            .connect_timeout(TIMEOUT / 2)
            .timeout(TIMEOUT)
            .build()
            .map_err(MetadataError::Client)?;
        let request = client
            .put(format!("{endpoint}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", 60);
        let token = Zeroizing::new(text(endpoint, request).await?);
        Ok(Self {
            client,
            endpoint: endpoint.to_owned(),
            token,
        })
    }

    /// The text at a path below `/latest/meta-data/`.
    pub(super) async fn get(&self, path: &str) -> Result<Zeroizing<String>, MetadataError> {
        let request = self
            .client
            .get(format!("{}/latest/meta-data/{path}", self.endpoint))
            .header("x-aws-ec2-metadata-token", self.token.as_str());
        text(&self.endpoint, request).await.map(Zeroizing::new)
    }
}

async fn text(endpoint: &str, request: RequestBuilder) -> Result<String, MetadataError> {
    let failed = |error: &reqwest::Error| {
        let endpoint = endpoint.to_owned();
        if error.is_connect() {
            MetadataError::Unreachable(endpoint)
        } else {
            MetadataError::NoAnswer(endpoint)
        }
    };
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    if response.status() != 200 {
        return Err(MetadataError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(MetadataError::Malformed);
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body).map_err(|_| MetadataError::Malformed)?;
    Ok(text.trim().to_owned())
}
