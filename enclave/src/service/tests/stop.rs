//! Calls that are still in progress when the enclave has waited for long enough.
use std::{future::pending, io, sync::Mutex};

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
    sync::{Notify, oneshot},
};
use tokio_rustls::TlsConnector;

use super::{enclave::Enclave, *};
use crate::{
    call::tests::upstreams::Does,
    platform::{BoxFuture, BoxStream, Transport},
    server::{Patience, Server},
};

const NAME: &str = "enclave.example";

/// A parent that relays one stream.
struct Relay(Mutex<Option<DuplexStream>>);

impl Transport for Relay {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        match self.0.lock().unwrap().take() {
            Some(stream) => Box::pin(async { Ok(Box::new(stream) as BoxStream) }),
            None => Box::pin(pending()),
        }
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
        let relay = Arc::new(Relay(Mutex::new(Some(far))));
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
