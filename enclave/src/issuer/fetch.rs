//! One fetch of the issuer's keys.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{
    deployment::{InvalidConfiguration, IssuerKeys as Address},
    limit::MAX_HEADER_BYTES,
};
use dauth_token::{Jwks, MAX_JWKS_BYTES};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, client::Resumption, crypto::aws_lc_rs as provider, pki_types::ServerName,
};
use tokio::{task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

use super::{IssuerKeysError, danger::PinnedKey};
use crate::host::HostServices;

/// Time for connection, handshake and reply together.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the keys come from.
pub(super) struct Source {
    host: HostServices,
    /// `host:port`, for the parent to dial.
    target: String,
    /// `Host` of the request.
    authority: String,
    path: String,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Source {
    pub(super) fn new(address: &Address, host: HostServices) -> Result<Self, InvalidConfiguration> {
        let invalid_url = InvalidConfiguration::Field("issuer_keys.url");
        let url: Uri = address.url.parse().map_err(|_| invalid_url)?;
        if url.scheme_str() != Some("https") {
            return Err(invalid_url);
        }
        let authority = url.authority().ok_or(invalid_url)?;
        if authority.as_str().contains('@') {
            return Err(invalid_url);
        }
        let port = authority.port_u16().unwrap_or(443);
        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let mut pin = [0; 32];
        hex::decode_to_slice(&address.spki_sha256, &mut pin)
            .map_err(|_| InvalidConfiguration::Field("issuer_keys.spki_sha256"))?;
        Ok(Self {
            host,
            target: format!("{}:{port}", authority.host()),
            authority: authority.to_string(),
            path: url.path_and_query().ok_or(invalid_url)?.to_string(),
            server_name: ServerName::try_from(name.to_owned()).map_err(|_| invalid_url)?,
            tls: Arc::new(pinned(pin).map_err(|_| invalid_url)?),
        })
    }

    pub(super) async fn fetch(&self) -> Result<Jwks, IssuerKeysError> {
        timeout(FETCH_TIMEOUT, self.exchange())
            .await
            .map_err(|_| IssuerKeysError::TimedOut)?
    }

    async fn exchange(&self) -> Result<Jwks, IssuerKeysError> {
        let stream = self
            .host
            .connect(&self.target)
            .await
            .map_err(|_| IssuerKeysError::Unreachable)?;
        let session = TlsConnector::from(Arc::clone(&self.tls))
            .connect(self.server_name.clone(), stream)
            .await
            .map_err(|_| IssuerKeysError::NotPinned)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake(TokioIo::new(session))
            .await
            .map_err(|_| IssuerKeysError::Unreachable)?;
        // Dropped with this future, also when it is dropped because its time is up.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::get(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|_| IssuerKeysError::Malformed)?;
        let reply = sender
            .send_request(request)
            .await
            .map_err(|_| IssuerKeysError::Unreachable)?;
        if reply.status() != StatusCode::OK {
            return Err(IssuerKeysError::Malformed);
        }
        let body = Limited::new(reply.into_body(), MAX_JWKS_BYTES)
            .collect()
            .await
            .map_err(|_| IssuerKeysError::Malformed)?;
        Jwks::parse(&body.to_bytes()).map_err(|_| IssuerKeysError::Malformed)
    }

    /// A source that no fetch reaches.
    #[cfg(test)]
    pub(super) fn unreachable() -> Self {
        let address = Address {
            url: "https://issuer.invalid/jwks".to_owned(),
            spki_sha256: "00".repeat(32),
        };
        let host = HostServices::new(Arc::new(super::tests::NoParent));
        Self::new(&address, host).expect("a valid address")
    }
}

/// TLS 1.3 with one trusted key, and no resumption: each fetch proves possession of it anew.
fn pinned(spki_sha256: [u8; 32]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider::default_provider());
    let verifier = Arc::new(PinnedKey::new(spki_sha256, &provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}
