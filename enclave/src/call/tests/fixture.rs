//! An upstream in memory: a scripted server behind TLS behind a parent.
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dauth_protocol::{Fingerprint, Injection, Owner, Policy, RequestPath, policy::Limits};
use dauth_sealing::Secret;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Full};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authorize::{Authorized, Call},
    host::HostServices,
    platform::{BoxFuture, BoxStream, Transport},
    refusal::Refusal,
    scrub::{BodyError, ScrubbedBody},
    upstream::Upstream,
};

pub(super) const SECRET: &str = "sk-live-0123456789/abc+def";
pub(super) const HOST: &str = "api.example";

/// What the server does with a request.
pub(super) type Script = Arc<dyn Fn(&str) -> Vec<Act> + Send + Sync>;

#[derive(Clone)]
pub(super) enum Act {
    Write(Vec<u8>),
    Wait(Arc<Notify>),
    Pause(Duration),
    Close,
}

pub(super) fn write(bytes: impl AsRef<[u8]>) -> Act {
    Act::Write(bytes.as_ref().to_vec())
}

/// A server that always answers the same.
pub(super) fn always(reply: impl AsRef<[u8]>) -> Script {
    let reply = write(reply);
    Arc::new(move |_| vec![reply.clone()])
}

/// A reply with a body of known length.
pub(super) fn reply(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(super) struct Fixture {
    pub(super) upstream: Upstream,
    pub(super) parent: Arc<Parent>,
    roots: Arc<RootCertStore>,
}

pub(super) struct Parent {
    script: Script,
    tls: Arc<ServerConfig>,
    /// The status that the parent answers `CONNECT` with.
    pub(super) connect_status: u16,
    pub(super) dialled: AtomicUsize,
    pub(super) targets: Mutex<Vec<String>>,
    pub(super) requests: Mutex<Vec<String>>,
}

impl Fixture {
    pub(super) fn new(script: Script) -> Self {
        Self::with(script, HOST, 200)
    }

    /// A server whose certificate is for `name`, behind a parent that answers `connect_status`.
    pub(super) fn with(script: Script, name: &str, connect_status: u16) -> Self {
        let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            certified.signing_key.serialize_der(),
        ));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let parent = Arc::new(Parent {
            script,
            tls: Arc::new(tls),
            connect_status,
            dialled: AtomicUsize::new(0),
            targets: Mutex::default(),
            requests: Mutex::default(),
        });
        let transport: Arc<dyn Transport> = Arc::new(Shared(Arc::clone(&parent)));
        let upstream = Upstream::new(HostServices::new(transport), roots.clone()).unwrap();
        Self {
            upstream,
            parent,
            roots,
        }
    }

    /// A client with this fixture's roots that reaches another's server.
    pub(super) fn with_transport_of(&self, other: &Self) -> Upstream {
        let transport: Arc<dyn Transport> = Arc::new(Shared(Arc::clone(&other.parent)));
        Upstream::new(HostServices::new(transport), self.roots.clone()).unwrap()
    }

    pub(super) async fn send(&self, call: Call) -> Result<Response<ScrubbedBody>, Refusal> {
        self.send_body(call, SECRET, "").await
    }

    pub(super) async fn send_body(
        &self,
        call: Call,
        secret: &str,
        body: &'static str,
    ) -> Result<Response<ScrubbedBody>, Refusal> {
        let secret = Secret::new(secret.as_bytes().to_vec()).unwrap();
        let body = Full::new(Bytes::from_static(body.as_bytes()));
        self.upstream
            .call(Authorized::for_tests(call), secret, body)
            .await
    }

    pub(super) fn dialled(&self) -> usize {
        self.parent.dialled.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.parent.requests.lock().unwrap().clone()
    }
}

pub(super) fn call() -> Call {
    Call {
        handle: "ddls:conn:test".parse().unwrap(),
        owner: Owner {
            issuer: "https://issuer.example".to_owned(),
            subject: "owner".to_owned(),
            thumbprint: "o".repeat(43),
        },
        version: 1,
        fingerprint: Fingerprint::of(b"record"),
        policy: Policy {
            version: 1,
            base_url: format!("https://{HOST}/v1").parse().unwrap(),
            injection: Injection::Bearer {},
            rules: Vec::new(),
            servers: Vec::new(),
            request_headers: Vec::new(),
            limits: Limits::default(),
        },
        caller: "a".repeat(43),
        server: None,
        token_id: "token".to_owned(),
        token_expires_s: u64::MAX,
        method: Method::GET,
        path: RequestPath::parse("/me").unwrap(),
        query: None,
        headers: HeaderMap::new(),
    }
}

pub(super) fn injection(json: &str) -> Injection {
    serde_json::from_str(json).unwrap()
}

/// The body as text, and its trailers.
pub(super) async fn text(body: ScrubbedBody) -> Result<(String, Option<HeaderMap>), BodyError> {
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((
        String::from_utf8(collected.to_bytes().to_vec()).unwrap(),
        trailers,
    ))
}

struct Shared(Arc<Parent>);

impl Transport for Shared {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        if self.0.connect_status == 0 {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        let (near, far) = duplex(1 << 16);
        tokio::spawn(Arc::clone(&self.0).relay(far));
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

impl Parent {
    async fn relay(self: Arc<Self>, mut stream: DuplexStream) {
        let Some(connect) = head(&mut stream).await else {
            return;
        };
        let target = connect.split(' ').nth(1).unwrap_or_default().to_owned();
        self.targets.lock().unwrap().push(target);
        let status = format!("HTTP/1.1 {} Status\r\n", self.connect_status);
        let rest = if self.connect_status == 200 {
            "\r\n"
        } else {
            "content-length: 0\r\n\r\n"
        };
        stream
            .write_all(format!("{status}{rest}").as_bytes())
            .await
            .unwrap();
        if self.connect_status == 200 {
            self.dialled.fetch_add(1, Ordering::SeqCst);
            if let Ok(mut tls) = TlsAcceptor::from(Arc::clone(&self.tls))
                .accept(stream)
                .await
            {
                while let Some(request) = request(&mut tls).await {
                    self.requests.lock().unwrap().push(request.clone());
                    for act in (self.script)(&request) {
                        match act {
                            Act::Write(bytes) => {
                                if tls.write_all(&bytes).await.is_err()
                                    || tls.flush().await.is_err()
                                {
                                    return;
                                }
                            }
                            Act::Wait(notify) => notify.notified().await,
                            Act::Pause(time) => tokio::time::sleep(time).await,
                            Act::Close => return drop(tls.shutdown().await),
                        }
                    }
                }
            }
        }
    }
}

/// Bytes up to and with the empty line.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A head, and a body of declared length or in chunks, as they came.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = head(stream).await?;
    let length = request
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    if let Some(length) = length {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        request.push_str(&String::from_utf8(body).unwrap());
    } else if request.contains("transfer-encoding: chunked") {
        while !request.ends_with("0\r\n\r\n") {
            request.push(char::from(stream.read_u8().await.ok()?));
        }
    }
    Some(request)
}
