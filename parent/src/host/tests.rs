//! Host services over a real unix socket, as the enclave uses them.
use std::{fs, path::Path};

use http::{Response, header};
use http_body_util::Full;
use hyper::client::conn::http1 as client;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    task::JoinHandle,
};

use super::*;
use crate::{
    configuration::{Egress, Endpoint, HostListener, Records as RecordsConfiguration},
    fleet::{Reach, Readiness},
};

mod keyset;
mod lifecycle;
mod receipts;
mod records;

struct Stack {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
    member: Arc<Member>,
    server: JoinHandle<()>,
}

impl Stack {
    async fn start(permit: &str, max_connections: usize) -> Self {
        Self::with_control_plane(control_plane().await, permit, max_connections).await
    }

    async fn with_control_plane(
        control_plane: String,
        permit: &str,
        max_connections: usize,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("credential"), "host-credential").unwrap();
        fs::write(path("configuration"), b"{\"version\":1}").unwrap();
        let metrics = Arc::new(Metrics::default());
        let records = Records::new(&RecordsConfiguration {
            control_plane,
            credential_file: path("credential"),
            ca_file: None,
            timeout_ms: 5000,
        });
        let egress = Egress {
            permit: vec![permit.parse().unwrap()],
            ..Egress::default()
        };
        let member = Arc::new(Member::new(
            "enclave".to_owned(),
            Endpoint::Unix(path("enclave.sock")),
            Reach::Supervised(16),
            max_connections,
        ));
        let services = Arc::new(HostServices {
            configuration_file: path("configuration"),
            credentials: Credentials::File(path("credentials.json")),
            keyset: KeysetFile::new(path("keyset")),
            records: records.unwrap(),
            events: Events::to_log(Arc::clone(&metrics)).unwrap(),
            egress: Live::new(super::Egress::new(&egress).unwrap()),
            metrics: Arc::clone(&metrics),
        });
        let listener = Listener::bind(&HostListener::Unix(path("host.sock"))).unwrap();
        let callers = Callers::One(Arc::clone(&member), None);
        let server = tokio::spawn(services.serve(listener, callers));
        Self {
            folder,
            metrics,
            member,
            server,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = UnixStream::connect(self.path().join("host.sock"))
            .await
            .unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Bytes) {
        let request = Request::get(path).body(Full::default()).unwrap();
        read(self.send(request).await).await
    }

    async fn connect(&self, target: &str) -> Response<Incoming> {
        let request = Request::connect(target).body(Full::default()).unwrap();
        self.send(request).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn read(response: Response<Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

/// Fingerprints that the control plane of these tests knows, by their first digit.
const FOUND: char = 'a';
const REVOKED: char = 'b';
const ENDLESS: char = 'c';
const UNKNOWN: char = 'd';

fn record_path(digit: char) -> String {
    format!("{}{}", paths::RECORDS, digit.to_string().repeat(64))
}

async fn control_plane() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(async |request: Request<Incoming>| {
                Ok::<_, std::convert::Infallible>(match *request.method() {
                    Method::PUT => records::stored_anew(request).await,
                    Method::POST => receipts::taken(request).await,
                    _ => stored_record(&request),
                })
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}/")
}

fn stored_record(request: &Request<Incoming>) -> Reply {
    let authorized = request.headers()[header::AUTHORIZATION] == "Bearer host-credential";
    let digit = request
        .uri()
        .path()
        .strip_prefix("/internal/records/")
        .and_then(|fingerprint| fingerprint.chars().next());
    match digit {
        _ if !authorized => status(StatusCode::UNAUTHORIZED),
        Some(FOUND) => bytes(vec![0xd0, 0x83], "application/cose"),
        Some(REVOKED) => status(StatusCode::GONE),
        Some(ENDLESS) => bytes(vec![0; 1024 * 1024], "application/cose"),
        _ => status(StatusCode::NOT_FOUND),
    }
}

#[tokio::test]
async fn hands_over_the_configuration_byte_for_byte() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let (status, body) = stack.get(paths::CONFIGURATION).await;
    assert_eq!((status, &body[..]), (200, &b"{\"version\":1}"[..]));
}

#[tokio::test]
async fn records_come_from_the_control_plane_alone() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let found = stack.get(&record_path(FOUND)).await;
    assert_eq!(found, (200, Bytes::from_static(&[0xd0, 0x83])));
    assert_eq!(stack.get(&record_path(REVOKED)).await.0, 410);
    assert_eq!(stack.get(&record_path(UNKNOWN)).await.0, 404);
    assert_eq!(stack.get(&record_path(ENDLESS)).await.0, 502);
    for path in [
        "/v1/records/",
        "/v1/records/..%2f",
        "/v1/records/abc",
        "/v1/records/a/b",
    ] {
        assert_eq!(stack.get(path).await.0, 400, "{path}");
    }
    assert!(
        stack
            .metrics
            .to_text(&[])
            .contains("record_failures_total 1\n")
    );
}

#[tokio::test]
async fn credentials_are_read_anew_and_never_quoted_in_errors() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    assert_eq!(stack.get(paths::CREDENTIALS).await.0, 503);
    let file = stack.path().join("credentials.json");
    fs::write(&file, r#"{"AccessKeyId":"canary-secret"}"#).unwrap();
    let (status, body) = stack.get(paths::CREDENTIALS).await;
    assert_eq!(status, 503);
    assert!(!String::from_utf8_lossy(&body).contains("canary"));
    let credentials = r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"E","Code":"Success"}"#;
    fs::write(&file, credentials).unwrap();
    let (status, body) = stack.get(paths::CREDENTIALS).await;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &json["SecretAccessKey"]), (200, &"S".into()));
}

#[tokio::test]
async fn events_are_taken_and_counted() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let body = Full::from("{\"event\":\"ready\"}\nnonsense\n");
    let request = Request::post(paths::EVENTS).body(body).unwrap();
    assert_eq!(stack.send(request).await.status(), 204);
    let text = stack.metrics.to_text(&[]);
    assert!(text.contains("events_total 1\n") && text.contains("events_dropped_total 1\n"));
}

#[tokio::test]
async fn a_tunnel_carries_bytes_and_half_close() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = upstream.local_addr().unwrap().to_string();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        stream.write_all(&question).await.unwrap();
    });
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let response = stack.connect(&target).await;
    assert_eq!(response.status(), 200);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tunnel.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"hello");
    echo.await.unwrap();
}

#[tokio::test]
async fn refused_and_unreachable_destinations_differ() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    let refused = stack.connect("169.254.169.254:80").await;
    assert_eq!(
        refused.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let (status, body) = read(refused).await;
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &problem["status"]), (403, &403.into()));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("metadata service")
    );

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = closed.local_addr().unwrap().to_string();
    drop(closed);
    assert_eq!(stack.connect(&target).await.status(), 502);
    assert_eq!(stack.connect("user@127.0.0.1:80").await.status(), 403);
}

#[tokio::test]
async fn what_is_not_a_host_service_is_refused() {
    let stack = Stack::start("127.0.0.0/8", 8).await;
    assert_eq!(stack.get("/").await.0, 404);
    assert_eq!(stack.get("/v1/keyset/").await.0, 404);
    assert_eq!(stack.get(paths::EVENTS).await.0, 405);
    let delete = Request::delete(paths::KEYSET)
        .body(Full::default())
        .unwrap();
    assert_eq!(stack.send(delete).await.status(), 405);
}

#[tokio::test]
async fn tunnels_leave_room_for_everything_else() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = upstream.local_addr().unwrap().to_string();
    let stack = Stack::start("127.0.0.0/8", 16).await;
    let mut tunnels = Vec::new();
    for _ in 0..14 {
        let reply = stack.connect(&target).await;
        assert_eq!(reply.status(), 200);
        tunnels.push(hyper::upgrade::on(reply).await.unwrap());
    }
    assert_eq!(stack.connect(&target).await.status(), 503);
    assert_eq!(stack.get(paths::CONFIGURATION).await.0, 200);
    drop(tunnels);
}

#[tokio::test]
async fn a_tunnel_keeps_its_slot_until_it_ends() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = upstream.local_addr().unwrap().to_string();
    let stack = Stack::start("127.0.0.0/8", 1).await;
    let response = stack.connect(&target).await;
    let tunnel = hyper::upgrade::on(response).await.unwrap();

    // Another connection is closed unanswered.
    let mut second = UnixStream::connect(stack.path().join("host.sock"))
        .await
        .unwrap();
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);

    let (peer, _) = upstream.accept().await.unwrap();
    drop((tunnel, peer));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stack.get(paths::CONFIGURATION).await.0, 200);
}
