//! Requests to an attested enclave.
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use dauth_attested_tls::{Expectations, body};
use dauth_dispatch::{
    AccessToken, CallBody, CallError, CallRequest, DpopKey, EnclaveClient, SessionError,
};
use dauth_protocol::{Code, KeyConfiguration, Problem};
use http::{HeaderMap, Method, Response, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    plain_server::proof,
    support::{
        AUDIENCE, Attester, Peer, Reply, TlsIdentity, expectations, key_configuration,
        peer::nonce_of,
    },
};

const HANDLE: &str = "ddls:conn:a";

/// What the enclave of a test does and sees.
#[derive(Default)]
struct State {
    /// The current nonce is `n` and this number.
    epoch: AtomicU32,
    /// The generation of the keyset at each connection; one that is not named has generation 1.
    generations: Mutex<VecDeque<u64>>,
    /// Requests for evidence that are refused, because there are too many.
    refused_evidence: AtomicU32,
    connections: AtomicU32,
    requests: AtomicU32,
    /// Live connections, to be cut.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl State {
    fn nonce(&self) -> String {
        format!("n{}", self.epoch.load(SeqCst))
    }

    fn evidence(&self, attester: &Attester, tls_key: &[u8], nonce: &[u8]) -> Response<Vec<u8>> {
        let left = |left: u32| left.checked_sub(1);
        if (self.refused_evidence.fetch_update(SeqCst, SeqCst, left)).is_ok() {
            return problem(Code::LimitExceeded);
        }
        let generation = self.generations.lock().unwrap().pop_front();
        let keys = KeyConfiguration {
            generation: generation.unwrap_or(1),
            ..key_configuration(tls_key)
        };
        Response::new(Reply::of(attester, &keys, nonce).body)
    }

    fn answer(&self, head: &Parts, request_body: &[u8]) -> Response<Vec<u8>> {
        self.requests.fetch_add(1, SeqCst);
        let htu = format!("{AUDIENCE}{}", head.uri.path());
        let proof = proof(&head.headers, head.method.as_str(), &htu, Some("t1"));
        let path = head.uri.path();
        if proof.nonce() != Some(&self.nonce()) {
            return problem(Code::UseDpopNonce);
        }
        if path.ends_with("/unsteady") {
            self.epoch.fetch_add(1, SeqCst);
            return problem(Code::UseDpopNonce);
        }
        if path.ends_with("/denied") {
            return problem(Code::PolicyDenied);
        }
        Response::new([path.as_bytes(), b" ", request_body].concat())
    }
}

fn problem(code: Code) -> Response<Vec<u8>> {
    Response::builder()
        .status(code.status())
        .header("dauth-error", code.as_str())
        .body(Problem::new(code, Some("a detail")).to_json())
        .unwrap()
}

/// An enclave behind a TCP port.
struct Enclave {
    ingress: String,
    state: Arc<State>,
    expectations: Expectations,
}

impl Enclave {
    async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.unwrap();
        let ingress = listener.local_addr().unwrap().to_string();
        let attester = Arc::new(Attester::new());
        let expectations = expectations(&attester);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, SeqCst);
                let (attester, state) = (Arc::clone(&attester), Arc::clone(&shared));
                let identity = TlsIdentity::new();
                let spki = identity.spki();
                let served = Peer::new(identity).serve_on(stream, move |head, request_body| {
                    let mut response = match nonce_of(head) {
                        Some(nonce) => state.evidence(&attester, &spki, &nonce),
                        None => state.answer(head, request_body),
                    };
                    let nonce = state.nonce().parse().unwrap();
                    response.headers_mut().insert("dpop-nonce", nonce);
                    response
                });
                let task = tokio::spawn(served);
                shared.tasks.lock().unwrap().push(task);
            }
        });
        Self {
            ingress,
            state,
            expectations,
        }
    }

    fn client(&self) -> EnclaveClient {
        EnclaveClient::new(self.ingress.clone(), self.expectations.clone())
    }

    fn cut_connections(&self) {
        for task in self.state.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    fn counts(&self) -> (u32, u32) {
        let state = &self.state;
        (state.connections.load(SeqCst), state.requests.load(SeqCst))
    }
}

fn request(path: &str, body: CallBody) -> CallRequest {
    CallRequest {
        handle: HANDLE.parse().unwrap(),
        method: Method::POST,
        path_and_query: path.to_owned(),
        headers: HeaderMap::new(),
        body,
    }
}

fn bytes() -> CallBody {
    CallBody::Bytes(Bytes::from_static(b"body"))
}

async fn call(client: &EnclaveClient, request: CallRequest) -> Result<String, CallError> {
    let key = DpopKey::generate().unwrap();
    let response = client.call(request, &AccessToken::new("t1"), &key).await?;
    let whole = response.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(whole.to_vec()).unwrap())
}

#[tokio::test]
async fn one_session_serves_many_calls_with_the_nonce_of_its_evidence() {
    let enclave = Enclave::start().await;
    let client = enclave.client();
    let stream = CallBody::Stream(body(Full::new(Bytes::from_static(b"stream"))));
    assert_eq!(
        call(&client, request("/x?q=1", stream)).await.unwrap(),
        "/v1/connections/ddls:conn:a/x stream"
    );
    let (one, two) = tokio::join!(
        call(&client, request("/1", bytes())),
        call(&client, request("/2", bytes()))
    );
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(enclave.counts(), (1, 3));
}

#[tokio::test]
async fn a_newer_nonce_costs_one_repetition() {
    let enclave = Enclave::start().await;
    let client = enclave.client();
    call(&client, request("/x", bytes())).await.unwrap();
    enclave.state.epoch.fetch_add(1, SeqCst);
    call(&client, request("/x", bytes())).await.unwrap();
    assert_eq!(enclave.counts(), (1, 3));
    // A stream cannot be repeated; the refusal brought the nonce for the caller's next attempt.
    enclave.state.epoch.fetch_add(1, SeqCst);
    let stream = || CallBody::Stream(body(Full::new(Bytes::from_static(b"stream"))));
    let refused = call(&client, request("/x", stream())).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::UseDpopNonce));
    call(&client, request("/x", stream())).await.unwrap();
}

#[tokio::test]
async fn a_stream_after_a_pause_gets_a_fresh_nonce_first() {
    let enclave = Enclave::start().await;
    let client = enclave.client();
    call(&client, request("/x", bytes())).await.unwrap();
    enclave.state.epoch.fetch_add(1, SeqCst);
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    tokio::time::resume();
    let stream = CallBody::Stream(body(Full::new(Bytes::from_static(b"stream"))));
    call(&client, request("/x", stream)).await.unwrap();
    assert_eq!(enclave.counts(), (1, 2));
}

#[tokio::test]
async fn an_enclave_that_is_never_content_is_asked_twice() {
    let enclave = Enclave::start().await;
    let refused = call(&enclave.client(), request("/unsteady", bytes())).await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::UseDpopNonce));
    assert_eq!(enclave.counts(), (1, 2));
}

#[tokio::test]
async fn a_refusal_is_typed_and_explained() {
    let enclave = Enclave::start().await;
    let refused = call(&enclave.client(), request("/denied", bytes())).await;
    match refused {
        Err(CallError::Refused(refusal)) => {
            assert_eq!(refusal.code, Code::PolicyDenied);
            assert_eq!(refusal.detail.as_deref(), Some("a detail"));
            assert!(!refusal.retryable);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cut_session_is_made_anew() {
    let enclave = Enclave::start().await;
    let client = enclave.client();
    call(&client, request("/x", bytes())).await.unwrap();
    enclave.cut_connections();
    // The client may notice at once, or by the first request that is lost.
    if let Err(error) = call(&client, request("/x", bytes())).await {
        assert!(matches!(error, CallError::Broken(_)), "{error}");
        call(&client, request("/x", bytes())).await.unwrap();
    }
    assert_eq!(enclave.counts().0, 2);
}

#[tokio::test]
async fn what_cannot_be_sent_as_it_stands_is_not_sent() {
    let enclave = Enclave::start().await;
    let client = enclave.client();
    for path in ["", "x", "/a#b", "/a b", "/a\r\nx: y"] {
        let refused = call(&client, request(path, bytes())).await;
        assert!(matches!(refused, Err(CallError::Path(_))), "{path:?}");
    }
    for name in ["authorization", "dpop"] {
        let mut reserved = request("/x", bytes());
        let name: http::HeaderName = name.parse().unwrap();
        reserved.headers.insert(name, "x".parse().unwrap());
        let refused = call(&client, reserved).await;
        assert!(matches!(refused, Err(CallError::ReservedHeader(_))));
    }
    assert_eq!(enclave.counts(), (0, 0));
}

#[tokio::test]
async fn nothing_is_sent_to_an_enclave_that_is_not_the_one_expected() {
    let enclave = Enclave::start().await;
    let other_audience = Expectations {
        audience: format!("{AUDIENCE}/"),
        ..enclave.expectations.clone()
    };
    let client = EnclaveClient::new(enclave.ingress.clone(), other_audience);
    let refused = call(&client, request("/x", bytes())).await;
    assert!(matches!(
        refused,
        Err(CallError::Session(SessionError::NotTrusted { .. }))
    ));
    assert_eq!(enclave.counts(), (1, 0));
    let nobody = EnclaveClient::new("127.0.0.1:1", enclave.expectations.clone());
    let refused = call(&nobody, request("/x", bytes())).await;
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("parent"),
        "{error}"
    );
}

/// Rotation in a fleet: for a moment some of its enclaves have the generation before.
#[tokio::test]
async fn an_enclave_that_is_a_moment_behind_is_asked_again() {
    let enclave = Enclave::start().await;
    enclave
        .state
        .generations
        .lock()
        .unwrap()
        .extend([2, 1, 1, 2]);
    let client = enclave.client();
    call(&client, request("/x", bytes())).await.unwrap();
    // Another session is made: the first ended at an enclave that has the new generation.
    client.evidence().await.unwrap();
    call(&client, request("/x", bytes())).await.unwrap();
    assert_eq!(enclave.counts(), (4, 2));
}

#[tokio::test]
async fn a_moments_crowd_is_waited_for() {
    let enclave = Enclave::start().await;
    enclave.state.refused_evidence.store(2, SeqCst);
    call(&enclave.client(), request("/x", bytes()))
        .await
        .unwrap();
    assert_eq!(enclave.counts(), (3, 1));
}
