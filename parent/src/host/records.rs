//! Records, from the control plane, and back to it what the enclave sealed anew. Nothing is kept
//! here: a revoked record is gone at once.
use std::{io, path::PathBuf, time::Duration};

use dauth_protocol::{Fingerprint, host::RECORDS, limit::MAX_RECORD_BYTES};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::{Bytes, Incoming};
use reqwest::{Certificate, Client, RequestBuilder, Url, redirect};

use super::{HostServices, Reply, bytes, collect, problem, reply::status};
use crate::{configuration, metrics::Metrics};

/// A record and its receipt, in base64: what the control plane takes at most.
const MAX_ADMITTED_BYTES: usize = 256 * 1024;

/// Fetches records with this host's credential.
pub struct Records {
    client: Client,
    base: String,
    authorization: HeaderValue,
}

/// Why records cannot be fetched as configured.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Not an address of a control plane.
    #[error("[records] control_plane is not an https URL, or an http one on loopback")]
    Url,
    /// A file does not open.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not one line of visible ASCII.
    #[error("the host credential in {} is not one line of visible ASCII", .0.display())]
    Credential(PathBuf),
    /// The HTTP client does not start.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Records {
    /// A client as configured; reads the credential.
    pub fn new(configuration: &configuration::Records) -> Result<Self, RecordsError> {
        let url = Url::parse(&configuration.control_plane).map_err(|_| RecordsError::Url)?;
        // A provider that is installed already, by a program that runs several roles, will do.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_millis(configuration.timeout_ms));
        match (url.scheme(), &configuration.ca_file) {
            ("https", None) => {}
            ("https", Some(file)) => {
                let pem = read(file.clone())?;
                client = client.tls_certs_only(Certificate::from_pem_bundle(&pem)?);
            }
            // The host credential is a bearer secret.
            ("http", _) if is_loopback(&url) => client = client.tls_certs_only([]),
            _ => return Err(RecordsError::Url),
        }
        Ok(Self {
            client: client.build()?,
            base: configuration.control_plane.trim_end_matches('/').to_owned(),
            authorization: authorization(configuration.credential_file.clone())?,
        })
    }

    pub(super) async fn reply(&self, fingerprint: &Fingerprint, metrics: &Metrics) -> Reply {
        let reply = match self.fetch(fingerprint).await {
            Ok(reply) => reply,
            Err(error) => {
                // Without the URL, which reqwest's own message repeats.
                tracing::warn!("cannot fetch a record: {}", error.without_url());
                problem(StatusCode::BAD_GATEWAY, "the control plane does not answer")
            }
        };
        Metrics::add(if reply.status().is_server_error() {
            &metrics.records_failed
        } else {
            &metrics.records_fetched
        });
        reply
    }

    /// Passes on what the enclave sealed anew.
    async fn put(&self, opened: &Fingerprint, admitted: Bytes, metrics: &Metrics) -> Reply {
        let request = self
            .ask(Method::PUT, &record_path(opened))
            .header(header::CONTENT_TYPE, "application/json")
            .body(admitted);
        let refused = match request.send().await.map(|response| response.status()) {
            Ok(StatusCode::NO_CONTENT) => return status(StatusCode::NO_CONTENT),
            Ok(StatusCode::NOT_FOUND) => {
                return problem(StatusCode::NOT_FOUND, "there is no such record");
            }
            Ok(StatusCode::CONFLICT) => {
                return problem(StatusCode::CONFLICT, "there is a newer record");
            }
            Ok(StatusCode::GONE) => return problem(StatusCode::GONE, "the record is revoked"),
            Ok(status) => {
                tracing::warn!(%status, "the control plane refused a record sealed anew");
                "the control plane refused the record"
            }
            Err(error) => {
                tracing::warn!(
                    "cannot pass on a record sealed anew: {}",
                    error.without_url()
                );
                "the control plane does not answer"
            }
        };
        Metrics::add(&metrics.records_failed);
        problem(StatusCode::BAD_GATEWAY, refused)
    }

    /// A request to the control plane, with this host's credential.
    pub(super) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
    }

    async fn fetch(&self, fingerprint: &Fingerprint) -> Result<Reply, reqwest::Error> {
        let request = self.ask(Method::GET, &record_path(fingerprint));
        let mut response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Ok(problem(StatusCode::NOT_FOUND, "there is no such record"));
            }
            StatusCode::GONE => return Ok(problem(StatusCode::GONE, "the record is revoked")),
            status => {
                tracing::warn!(%status, "the control plane refused a record");
                return Ok(problem(
                    StatusCode::BAD_GATEWAY,
                    "the control plane refused to hand the record out",
                ));
            }
        }
        let mut record = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if record.len().saturating_add(chunk.len()) > MAX_RECORD_BYTES {
                return Ok(problem(StatusCode::BAD_GATEWAY, "the record is too large"));
            }
            record.extend_from_slice(&chunk);
        }
        Ok(bytes(record, "application/cose"))
    }
}

impl HostServices {
    /// `PUT /v1/records/{fingerprint}`.
    pub(super) async fn put_record(&self, path: &str, request: Request<Incoming>) -> Reply {
        let opened = path
            .strip_prefix(RECORDS)
            .and_then(|text| text.parse::<Fingerprint>().ok());
        let Some(opened) = opened else {
            return problem(StatusCode::BAD_REQUEST, "not a record fingerprint");
        };
        match collect(request, MAX_ADMITTED_BYTES).await {
            Ok(admitted) => self.records.put(&opened, admitted, &self.metrics).await,
            Err(refusal) => refusal,
        }
    }
}

fn record_path(fingerprint: &Fingerprint) -> String {
    format!("/internal/records/{fingerprint}")
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn authorization(file: PathBuf) -> Result<HeaderValue, RecordsError> {
    let text = read(file.clone())?;
    let credential = text.trim_ascii_end();
    if credential.is_empty() || !credential.iter().all(u8::is_ascii_graphic) {
        return Err(RecordsError::Credential(file));
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", credential].concat())
        .map_err(|_| RecordsError::Credential(file))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: PathBuf) -> Result<Vec<u8>, RecordsError> {
    std::fs::read(&file).map_err(|source| RecordsError::Read { file, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_goes_over_plain_http_to_loopback_alone() {
        let folder = tempfile::tempdir().unwrap();
        let credential_file = folder.path().join("credential");
        std::fs::write(&credential_file, "host-credential\n").unwrap();
        let records = |control_plane: &str| {
            Records::new(&configuration::Records {
                control_plane: control_plane.to_owned(),
                credential_file: credential_file.clone(),
                ca_file: None,
                timeout_ms: 1000,
            })
        };
        for url in [
            "http://127.0.0.1:1/",
            "http://[::1]:1",
            "http://localhost:1",
        ] {
            assert!(records(url).is_ok(), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://example.com",
            "ftp://127.0.0.1",
            "127.0.0.1:1",
        ] {
            assert!(matches!(records(url), Err(RecordsError::Url)), "{url}");
        }
    }
}
