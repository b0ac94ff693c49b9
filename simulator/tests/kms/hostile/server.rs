//! The KMS: it has a genuine answer, and changes it on its way out.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dauth_simulator::{ca::Authority, kms::cms};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::tampering::{Recipient, Tampering};

pub(super) const KEY_ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/one";
/// The data key.
pub(super) const DATA_KEY: [u8; 32] = *b"a data key of thirty-two bytes!!";
/// The same, wrapped; as long as KMS's.
pub(super) const WRAPPED: [u8; 184] = [7; 184];

/// A KMS that does what a test says.
pub(super) struct HostileKms {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    log: Mutex<Log>,
    tampering: Mutex<Option<(&'static str, Tampering)>>,
    refusals: Mutex<(&'static str, Vec<(u16, &'static str)>)>,
    /// Replies about the key, by target, the last one first; the first one is given for ever.
    about_the_key: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<(String, usize)>,
    access_keys: Vec<String>,
    keys: Vec<String>,
}

impl HostileKms {
    pub(super) async fn start() -> Self {
        let authority = Authority::create("KMS").unwrap();
        let identity = authority.issue(&["127.0.0.1"]).unwrap();
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(authority.certificate_pem())).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate(&identity.certificate_pem)], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        tokio::spawn(accept(listener, Arc::new(tls).into(), Arc::clone(&state)));
        Self {
            address,
            roots: Arc::new(roots),
            state,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// Changes replies to requests of this target from now on.
    pub(super) fn tamper(&self, target: &'static str, tampering: Tampering) {
        *self.state.tampering.lock().unwrap() = Some((target, tampering));
    }

    /// Refuses as many requests of this target as these, the last one first.
    pub(super) fn refuse(&self, target: &'static str, refusals: &[(u16, &'static str)]) {
        *self.state.refusals.lock().unwrap() = (target, refusals.to_vec());
    }

    /// Answers requests of this target by these, one after the other; the last one is repeated.
    pub(super) fn describe(&self, target: &'static str, replies: &[&str]) {
        let replies = replies.iter().rev().map(|reply| (*reply).to_owned());
        let mut all = self.state.about_the_key.lock().unwrap();
        all.insert(target, replies.collect());
    }

    /// Connections and requests since it was last told.
    pub(super) fn take_log(&self) -> (usize, Vec<(String, usize)>) {
        let log = mem::take(&mut *self.state.log.lock().unwrap());
        (log.connections, log.requests)
    }

    /// Access keys that signed the requests since the log was last told.
    pub(super) fn access_keys(&self) -> Vec<String> {
        self.state.log.lock().unwrap().access_keys.clone()
    }

    /// `KeyId` and public key of the requests since the log was last told.
    pub(super) fn keys_asked_for(&self) -> Vec<String> {
        self.state.log.lock().unwrap().keys.clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        state.log.lock().unwrap().connections += 1;
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let text = |name: &str| {
            let value = request.headers().get(name).unwrap();
            value.to_str().unwrap().to_owned()
        };
        let target = text("x-amz-target");
        let authorization = text(header::AUTHORIZATION.as_str());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let parameters: Value = serde_json::from_slice(&body).unwrap();
        let document = parameters["Recipient"]["AttestationDocument"].as_str();
        {
            let mut log = self.log.lock().unwrap();
            log.requests.push((target.clone(), body.len()));
            let access_key = authorization.split(['=', '/']).nth(1).unwrap();
            log.access_keys.push(access_key.to_owned());
            log.keys.push(format!(
                "{} {}",
                parameters["KeyId"],
                document.unwrap_or_default()
            ));
        }
        if let Some((status, code)) = self.refusal(&target) {
            let body = json!({ "__type": code }).to_string();
            return reply(status, body.into());
        }
        if document.is_none() {
            return reply(200, self.about_the_key(&target).into());
        }
        let recipient = Recipient::new(BASE64_STANDARD.decode(document.unwrap()).unwrap());
        let genuine = genuine(&recipient, parameters["KeyId"].as_str().unwrap());
        let body = match &*self.tampering.lock().unwrap() {
            Some((of, tampering)) if *of == target => tampering(genuine, &recipient),
            _ => genuine.to_string().into_bytes(),
        };
        reply(200, body.into())
    }
}

impl State {
    fn about_the_key(&self, target: &str) -> String {
        let mut all = self.about_the_key.lock().unwrap();
        let replies = all.get_mut(target).unwrap();
        if replies.len() > 1 {
            return replies.pop().unwrap();
        }
        replies[0].clone()
    }

    fn refusal(&self, target: &str) -> Option<(u16, &'static str)> {
        let mut refusals = self.refusals.lock().unwrap();
        if refusals.0 == target {
            refusals.1.pop()
        } else {
            None
        }
    }
}

/// The answer to both operations.
fn genuine(recipient: &Recipient, key_id: &str) -> Value {
    let envelope = cms::envelope(recipient.key(), recipient.spki(), &DATA_KEY).unwrap();
    json!({
        "KeyId": key_id,
        "Plaintext": "",
        "CiphertextForRecipient": BASE64_STANDARD.encode(envelope),
        "CiphertextBlob": BASE64_STANDARD.encode(WRAPPED),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    })
}

fn reply(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status.try_into().unwrap();
    response
}
