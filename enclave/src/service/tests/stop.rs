//! Calls that are still in progress when the enclave has waited for long enough, and those that come
//! as it is told to stop.
use std::{
    future::{pending, ready},
    io,
};

use dauth_protocol::{
    Policy,
    audit::{Ending, Outcome},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use serde_bytes::ByteBuf;
use tokio::{
    io::{DuplexStream, duplex},
    sync::{Mutex, Notify, mpsc, oneshot},
    time::sleep,
};
use tokio_rustls::TlsConnector;

use super::{enclave::Enclave, *};
use crate::{
    call::tests::upstreams::Does,
    platform::{BoxFuture, BoxStream, Transport},
    server::{Patience, Server},
};

const NAME: &str = "enclave.example";

/// A parent that relays the streams that it is given.
struct Relay(Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

impl Relay {
    fn new() -> (mpsc::UnboundedSender<DuplexStream>, Arc<Self>) {
        let (streams, relayed) = mpsc::unbounded_channel();
        (streams, Arc::new(Self(Mutex::new(relayed))))
    }
}

impl Transport for Relay {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(stream) => Ok(Box::new(stream) as BoxStream),
                None => pending().await,
            }
        })
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(pending())
    }
}

/// The two ends of a TLS session in which `protocol` is agreed.
fn session(protocol: &[u8]) -> (Arc<ServerConfig>, TlsConnector) {
    let certified = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    server.alpn_protocols = vec![protocol.to_vec()];
    client.alpn_protocols = vec![protocol.to_vec()];
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cut_off_leaves_its_receipt() {
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let came = Arc::new(Notify::new());
        let enclave = Enclave::new(Does::Waits(Arc::clone(&came))).await;
        let mut header = enclave.header();
        let mut policy = Policy::from_json(&header.policy).unwrap();
        policy.limits.timeout_ms = limit::MAX_TIMEOUT_MS;
        header.policy = ByteBuf::from(policy.to_json().unwrap());
        let mut request = enclave.request(&enclave.asked(&header));
        let (service, mut books) = enclave.into_parts();

        let (near, far) = duplex(1 << 16);
        let (server, connector) = session(protocol);
        let (streams, relay) = Relay::new();
        streams.send(far).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::new(server, service).serve(relay, async {
            let _ = stopped.await;
            Patience::Brief
        });
        let serving = tokio::spawn(serving);
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TokioIo::new(connector.connect(name, near).await.unwrap());
        let asking = if protocol == b"h2" {
            let uri = format!("https://{NAME}{}", request.uri());
            *request.uri_mut() = uri.parse().unwrap();
            let handshake = http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            tokio::spawn(async move { sender.send_request(request).await.is_ok() })
        } else {
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            tokio::spawn(async move { sender.send_request(request).await.is_ok() })
        };
        came.notified().await;
        drop(stop);
        serving.await.unwrap().unwrap();
        books.stop().await;
        assert!(!asking.await.unwrap(), "it was not answered");
        let receipt = books.receipts(1).await.remove(0);
        assert_eq!(receipt.outcome, Outcome::Unanswered);
        assert_eq!(receipt.ending, Ending::Abandoned);
    }
}

/// An upgrade under load: the parent had connected a caller before it said that the enclave is to
/// stop, and the enclave hears of the caller afterwards.
#[tokio::test(start_paused = true)]
async fn a_caller_who_was_on_the_way_is_answered() {
    let (service, _books) = Enclave::new(Does::Nothing).await.into_parts();
    let (server, connector) = session(b"h2");
    let (streams, relay) = Relay::new();
    let serving = Server::new(server, service).serve(relay, ready(Patience::ForCalls));
    let serving = tokio::spawn(serving);
    sleep(Duration::from_millis(100)).await;
    let (near, far) = duplex(1 << 16);
    streams.send(far).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let connected = timeout(Patience::Brief.span(), connector.connect(name, near));
    let stream = TokioIo::new(connected.await.expect("it is accepted").unwrap());
    let handshake = http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://{NAME}/nothing-is-here"));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["dauth-error"], "INVALID_REQUEST");
    // It ends by itself, long before its patience does.
    let ended = timeout(Patience::Brief.span(), serving).await;
    ended.expect("in time").unwrap().unwrap();
}
