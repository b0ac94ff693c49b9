use std::{
    convert::Infallible,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use dauth_protocol::deployment::IssuerKeys as Address;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, PublicKeyData, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sha2::{Digest, Sha256};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    authorize::tests::fixture::{Key, configuration},
    platform::{BoxFuture, BoxStream, Transport},
};

/// A parent that answers nothing.
pub(super) struct NoParent;

impl Transport for NoParent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

/// A parent that relays to an issuer with a TLS key of its own.
struct Parent(Arc<Issuer>);

struct Issuer {
    tls: Arc<ServerConfig>,
    reply: Mutex<Vec<u8>>,
    fetches: AtomicUsize,
    is_down: AtomicBool,
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(relay(far, Arc::clone(&self.0)));
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

async fn relay(stream: DuplexStream, issuer: Arc<Issuer>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let issuer = Arc::clone(&issuer);
        async move {
            assert_eq!(request.method(), Method::CONNECT);
            assert_eq!(request.uri(), "issuer.example:443");
            issuer.fetches.fetch_add(1, Ordering::SeqCst);
            let mut reply = Response::new(Full::<Bytes>::default());
            if issuer.is_down.load(Ordering::SeqCst) {
                *reply.status_mut() = http::StatusCode::BAD_GATEWAY;
            } else {
                tokio::spawn(async move {
                    let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                    serve(TokioIo::new(upgraded), &issuer).await;
                });
            }
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    drop(connection.with_upgrades().await);
}

async fn serve(stream: impl crate::platform::ByteStream, issuer: &Issuer) {
    let acceptor = TlsAcceptor::from(Arc::clone(&issuer.tls));
    let Ok(session) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(|request: Request<Incoming>| async move {
        assert_eq!(request.uri(), "/jwks");
        let body = issuer.reply.lock().unwrap().clone();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
    });
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(session), service)
            .await,
    );
}

fn key_set(kids: &[&str]) -> Vec<u8> {
    let keys = kids.iter().map(|kid| dauth_token::NamedJwk {
        kid: (*kid).to_owned(),
        key: dauth_token::Signer::jwk(&Key::generate()).clone(),
    });
    Jwks::new(keys.collect()).to_json().to_string().into_bytes()
}

fn issuer() -> (Arc<Issuer>, Address) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["another-name.example".to_owned()]).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], private)
        .unwrap();
    let spki = signing_key.subject_public_key_info();
    let address = Address {
        url: "https://issuer.example/jwks".to_owned(),
        spki_sha256: hex::encode(Sha256::digest(spki)),
    };
    let issuer = Issuer {
        tls: Arc::new(tls),
        reply: Mutex::new(key_set(&["k1"])),
        fetches: AtomicUsize::new(0),
        is_down: AtomicBool::new(false),
    };
    (Arc::new(issuer), address)
}

fn keys_at(issuer: &Arc<Issuer>, address: Address) -> Arc<IssuerKeys> {
    let mut configuration = configuration();
    configuration.issuer_keys = address;
    let host = HostServices::new(Arc::new(Parent(Arc::clone(issuer))));
    IssuerKeys::new(&configuration, host).unwrap()
}

fn fetches(issuer: &Issuer) -> usize {
    issuer.fetches.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_for_all_who_wait() {
    let (issuer, address) = issuer();
    let keys = keys_at(&issuer, address);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let keys = Arc::clone(&keys);
        waiting.spawn(async move { keys.current().await });
    }
    for result in waiting.join_all().await {
        assert!(result.unwrap().key("k1").is_some());
    }
    assert_eq!(fetches(&issuer), 1);
}

#[tokio::test(start_paused = true)]
async fn another_key_than_the_pinned_one_is_refused() {
    let (issuer, mut address) = issuer();
    address.spki_sha256 = "00".repeat(32);
    let keys = keys_at(&issuer, address);
    assert_eq!(keys.current().await, Err(IssuerKeysError::NotPinned));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_key_set_is_refused() {
    for reply in [
        b"not json".to_vec(),
        vec![b' '; dauth_token::MAX_JWKS_BYTES + 1],
    ] {
        let (issuer, address) = issuer();
        *issuer.reply.lock().unwrap() = reply;
        let keys = keys_at(&issuer, address);
        assert_eq!(keys.current().await, Err(IssuerKeysError::Malformed));
        // And the parent cannot make the enclave ask in a loop.
        assert_eq!(keys.current().await, Err(IssuerKeysError::Recently));
        assert_eq!(fetches(&issuer), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_used_for_five_minutes_at_most() {
    let (issuer, address) = issuer();
    let keys = keys_at(&issuer, address);
    assert!(keys.current().await.is_ok());
    issuer.is_down.store(true, Ordering::SeqCst);
    tokio::time::advance(MAX_AGE - Duration::from_secs(1)).await;
    assert!(keys.current().await.is_ok(), "while it is asked again");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(keys.current().await.is_err());
    issuer.is_down.store(false, Ordering::SeqCst);
    tokio::time::advance(MIN_BETWEEN_FETCHES).await;
    assert!(keys.current().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_while_they_are_good() {
    let (issuer, address) = issuer();
    let keys = keys_at(&issuer, address);
    assert!(keys.current().await.unwrap().key("k2").is_none());
    *issuer.reply.lock().unwrap() = key_set(&["k2"]);
    tokio::time::advance(REFRESH_AGE).await;
    assert!(keys.current().await.unwrap().key("k1").is_some());
    // The renewal runs beside the call that caused it.
    while keys.current().await.unwrap().key("k2").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fetches(&issuer), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_causes_a_fetch_every_few_seconds_at_most() {
    let (issuer, address) = issuer();
    let keys = keys_at(&issuer, address);
    let first = keys.current().await.unwrap();
    assert!(keys.newer_than(&first).await.is_none(), "too soon");
    tokio::time::advance(MIN_BETWEEN_FETCHES).await;
    *issuer.reply.lock().unwrap() = key_set(&["k1", "k2"]);
    let second = keys.newer_than(&first).await.unwrap();
    assert!(second.key("k2").is_some());
    assert!(keys.newer_than(&first).await.is_some(), "without a fetch");
    assert!(keys.newer_than(&second).await.is_none(), "too soon");
    assert_eq!(fetches(&issuer), 2);
}

#[test]
fn an_address_is_https_without_user() {
    for url in [
        "http://issuer.example/jwks",
        "https:///jwks",
        "https://user@issuer.example/jwks",
        "issuer.example",
    ] {
        let mut configuration = configuration();
        configuration.issuer_keys.url = url.to_owned();
        let host = HostServices::new(Arc::new(NoParent));
        assert!(IssuerKeys::new(&configuration, host).is_err(), "{url}");
    }
}
