//! A demo API over TLS that wants a bearer secret: what a connection of the simulation reaches.
//!
//! | request | reply |
//! |---|---|
//! | `GET /v1/me` | who the secret belongs to; 401 without the right one |
//! | `POST /v1/notes` | 201 and the note; 401 without the right secret |
//! | `GET /v1/echo` | the request's header fields, the secret among them |
//! | `GET /v1/slow` | an empty object, after a while |
//!
//! It knows the secret by its SHA-256 alone until a request brings it, and logs no header.
use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::monitor::monitored;
use tokio_rustls::TlsAcceptor;

const MAX_NOTE_BYTES: usize = 64 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The upstream's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Where to serve.
    pub listen: SocketAddr,
    /// The certificate chain (PEM).
    pub certificate_file: PathBuf,
    /// Its key (PKCS#8 PEM).
    pub key_file: PathBuf,
    /// SHA-256 of the bearer secret, in hexadecimal.
    pub secret_sha256: String,
    /// How long `/v1/slow` takes.
    #[serde(default = "default_slow_ms")]
    pub slow_ms: u64,
}

/// Why the upstream did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address} for the demo upstream: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate or key is not usable.
    #[error("cannot use {} for TLS: {reason}", file.display())]
    Tls {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// `secret_sha256` is not 64 hexadecimal digits.
    #[error("secret_sha256 must be 64 hexadecimal digits")]
    Secret,
}

/// Serves until `shutdown` ends.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let address = configuration.listen;
    let acceptor = acceptor(&configuration)?;
    let router = router(&configuration)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(listen = %address, "the demo upstream serves");
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, acceptor.clone(), router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = handshake else {
        tracing::debug!("a TLS handshake failed");
        return;
    };
    let service = TowerToHyperService::new(router);
    let served = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection: {error}");
    }
}

fn acceptor(configuration: &Configuration) -> Result<TlsAcceptor, RunError> {
    let failed = |file: &Path, reason: &dyn core::fmt::Display| RunError::Tls {
        file: file.to_owned(),
        reason: reason.to_string(),
    };
    let (certificate_file, key_file) = (&configuration.certificate_file, &configuration.key_file);
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(certificate_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| failed(key_file, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(certificate_file, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed(certificate_file, &error))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

#[derive(Clone)]
struct Api {
    secret_sha256: [u8; 32],
    slow: Duration,
}

fn router(configuration: &Configuration) -> Result<Router, RunError> {
    let mut secret_sha256 = [0; 32];
    hex::decode_to_slice(&configuration.secret_sha256, &mut secret_sha256)
        .map_err(|_| RunError::Secret)?;
    let api = Api {
        secret_sha256,
        slow: Duration::from_millis(configuration.slow_ms),
    };
    let served = Router::new()
        .route("/v1/me", get(me))
        .route("/v1/notes", post(note))
        .route("/v1/echo", get(echo))
        .route("/v1/slow", get(slow))
        .layer(DefaultBodyLimit::max(MAX_NOTE_BYTES))
        .with_state(api);
    Ok(monitored(served, "upstream"))
}

async fn me(State(api): State<Api>, headers: HeaderMap) -> Response {
    if !api.admits(&headers) {
        return unauthorized();
    }
    Json(json!({ "login": "ada", "name": "Ada Lovelace" })).into_response()
}

async fn note(State(api): State<Api>, headers: HeaderMap, Json(note): Json<Value>) -> Response {
    if !api.admits(&headers) {
        return unauthorized();
    }
    (StatusCode::CREATED, Json(json!({ "note": note }))).into_response()
}

/// What a careless API does: it returns the credential to whoever made the call.
async fn echo(headers: HeaderMap) -> Json<Value> {
    let fields: BTreeMap<&str, _> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    Json(json!({ "headers": fields }))
}

async fn slow(State(api): State<Api>) -> Json<Value> {
    tokio::time::sleep(api.slow).await;
    Json(json!({}))
}

impl Api {
    /// Hashes are compared, so that the time taken tells nothing of the secret.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let secret = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        secret.is_some_and(|secret| Sha256::digest(secret).as_slice() == self.secret_sha256)
    }
}

fn unauthorized() -> Response {
    let body = Json(json!({ "error": "the bearer secret is missing or wrong" }));
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, body).into_response()
}

fn default_slow_ms() -> u64 {
    3_000
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn send(method: &str, path: &str, secret: Option<&str>) -> (u16, Value) {
        let configuration = Configuration {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            secret_sha256: hex::encode(Sha256::digest("the secret")),
            slow_ms: 1,
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(secret) = secret {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        let body = if method == "POST" {
            r#"{"text":"hi"}"#
        } else {
            ""
        };
        let request = request.body(axum::body::Body::from(body)).unwrap();
        let response = router(&configuration)
            .unwrap()
            .oneshot(request)
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn wants_the_right_secret() {
        assert_eq!(send("GET", "/v1/me", Some("the secret")).await.0, 200);
        assert_eq!(send("GET", "/v1/me", Some("another secret")).await.0, 401);
        assert_eq!(send("GET", "/v1/me", None).await.0, 401);
        let (status, body) = send("POST", "/v1/notes", Some("the secret")).await;
        assert_eq!((status, &body["note"]["text"]), (201, &"hi".into()));
        assert_eq!(send("POST", "/v1/notes", None).await.0, 401);
    }

    #[tokio::test]
    async fn echoes_carelessly_and_answers_slowly() {
        let (_, body) = send("GET", "/v1/echo", Some("the secret")).await;
        assert_eq!(body["headers"]["authorization"], "Bearer the secret");
        assert_eq!(send("GET", "/v1/slow", None).await.0, 200);
    }
}
