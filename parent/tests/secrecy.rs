//! What the parent logs of the role's credentials, at every level. The log is the process's: this
//! is the one test of its program.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dauth_parent::Configuration;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};

/// In every secret of this test.
const CANARY: &str = "canary";
const CREDENTIALS: &str = r#"{"Code":"Success","AccessKeyId":"ASIAcanary","SecretAccessKey":"secret-canary",
    "Token":"session-canary","Expiration":"9999-01-01T00:00:00Z"}"#;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A metadata service whose role has these credentials.
async fn metadata_service(credentials: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(async move |request: Request<Incoming>| {
                let body = match request.uri().path() {
                    "/latest/api/token" => "token-canary",
                    path if path.ends_with('/') => "enclave-role",
                    _ => credentials,
                };
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                    body.as_bytes(),
                ))))
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn configuration(folder: &Path, metadata: SocketAddr) -> Configuration {
    fs::write(folder.join("credential"), "host-credential").unwrap();
    let folder = folder.display();
    toml::from_str(&format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        enclave = {{ unix = "{folder}/enclave.sock" }}
        [host]
        listen = {{ unix = "{folder}/host.sock" }}
        configuration_file = "{folder}/deployment"
        keyset_file = "{folder}/keyset"
        [host.imds]
        endpoint = "http://{metadata}"
        [records]
        control_plane = "http://127.0.0.1:9"
        credential_file = "{folder}/credential"
        "#
    ))
    .unwrap()
}

/// What the enclave is given by a parent whose instance has these credentials.
async fn served(credentials: &'static str) -> (u16, String) {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), metadata_service(credentials).await);
    let parent = tokio::spawn(dauth_parent::run(configuration, std::future::pending()));
    let stream = loop {
        match UnixStream::connect(folder.path().join("host.sock")).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/v1/credentials").body(Full::<Bytes>::default());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    parent.abort();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn no_credentials_are_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();

    let (status, body) = served(CREDENTIALS).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("secret-canary"), "{body}");
    for broken in ["secret-canary", r#"{"SecretAccessKey":"secret-canary"}"#] {
        let (status, body) = served(broken).await;
        assert_eq!(status, 503, "{body}");
        assert!(!body.contains(CANARY), "{body}");
    }

    let text = log.text();
    assert!(text.contains("took the role's credentials"), "{text}");
    assert!(text.contains("gave no credentials"), "{text}");
    assert!(!text.contains(CANARY), "{text}");
}
