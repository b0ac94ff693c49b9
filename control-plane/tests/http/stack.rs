//! A control plane that runs, and the requests that tests send to it.
use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use dauth_control_plane::{ClientConfiguration, Configuration, ReceiptsConfiguration, Server};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const ISSUER: &str = "http://127.0.0.1:1";
pub(crate) const ENCLAVE: &str = "https://enclave.example";
pub(crate) const MCP: &str = "https://notes.example/mcp";
pub(crate) const OTHER_MCP: &str = "https://other.example/mcp";
pub(crate) const SECRET: &str = "a secret of a client, long enough";
pub(crate) const HOST_CREDENTIAL: &str = "the parent's own credential";

/// A running control plane; its state directory outlives restarts.
pub(crate) struct Stack {
    pub(crate) address: SocketAddr,
    pub(crate) https_address: SocketAddr,
    pub(crate) spki_sha256: String,
    state: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The configuration that [`Stack`] runs with.
pub(crate) fn configuration(state_dir: &Path) -> Configuration {
    let client = |id: &str, resource: Option<&str>, scopes: &[&str]| ClientConfiguration {
        id: id.to_owned(),
        secret_sha256: sha256(SECRET),
        resource: resource.map(str::to_owned),
        org: "acme".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    Configuration {
        issuer: ISSUER.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        listen_tls: "127.0.0.1:0".parse().unwrap(),
        state_dir: state_dir.to_owned(),
        store: None,
        enclave: ENCLAVE.to_owned(),
        ingress: Some("enclave.example:443".to_owned()),
        host_credential_sha256: sha256(HOST_CREDENTIAL),
        access_token_life_s: 300,
        receipts: ReceiptsConfiguration::default(),
        clients: vec![
            client("alice", None, &["notes:read", "notes:write"]),
            client("bob", None, &[]),
            client("mcp", Some(MCP), &[]),
            client("other-mcp", Some(OTHER_MCP), &[]),
        ],
    }
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), |_| ()).await
    }

    /// Stops it and starts it again on the same state.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| ()).await
    }

    /// The same under another configuration.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Configuration)) -> Self {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        Self::start_on(self.state, change).await
    }

    async fn start_on(state: tempfile::TempDir, change: impl FnOnce(&mut Configuration)) -> Self {
        let mut configuration = configuration(state.path());
        change(&mut configuration);
        let server = Server::bind(&configuration).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            address: server.http_address().unwrap(),
            https_address: server.https_address().unwrap(),
            spki_sha256: server.spki_sha256().to_owned(),
            state,
            stop,
            task: tokio::spawn(server.serve(async {
                let _ = stopped.await;
            })),
        }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.state.path()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &(impl AsRef<[u8]> + ?Sized),
    ) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        send_on(stream, method, path, fields, body).await
    }
}

/// One request on a connection of its own.
pub(crate) async fn send_on<S>(
    stream: S,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
    body: &(impl AsRef<[u8]> + ?Sized),
) -> Reply
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "whatever.example")
        .header("x-forwarded-host", "evil.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_ref()));
    let response: Response<_> = sender
        .send_request(request.body(body).unwrap())
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    Reply {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Status and `error` of a refused token request.
    pub(crate) fn error(&self) -> (u16, String) {
        let error = self.json()["error"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), error)
    }

    /// Status and `code` of a refused API request.
    pub(crate) fn code(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), code)
    }
}

pub(crate) fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex::encode(digest)
}

pub(crate) fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since_epoch.as_secs()
}

/// A name that no other call gave.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A form body of already harmless names and values.
pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        text.bytes()
            .map(|b| match b {
                b if is_plain(b) => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}
