//! The enclave, as someone reaches it who makes every request by hand.
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use dauth_attestation::{Images, ReferenceValues, TrustAnchors};
use dauth_attested_tls::{Custody, Expectations, KeysetMemory, Session, connect};
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_token::{ProofClaims, access_token_hash, make_proof};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Empty};
use tokio::net::TcpStream;

use crate::StackFile;

/// An attested session, over which anything can be sent.
pub struct Enclave {
    session: Session,
    resource: String,
    nonce: Mutex<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The code, when DAuth refused.
    pub code: Option<String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The sentence of a refusal.
    pub fn detail(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts a refusal with this code, its status, and a sentence that holds `words`.
    #[track_caller]
    pub fn assert_refused(&self, code: dauth_protocol::Code, words: &str) {
        assert_eq!(self.code.as_deref(), Some(code.as_str()), "{self:?}");
        assert_eq!(self.status, code.status(), "{self:?}");
        assert!(self.detail().contains(words), "{:?}", self.detail());
    }
}

impl Enclave {
    /// Opens a session and verifies who is at its end.
    pub async fn open(stack: &StackFile) -> Self {
        let stream = TcpStream::connect(&stack.parent.ingress).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut nonce = [0; 32];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        let session = connect(stream, &stack.expectations(), now_ms, nonce)
            .await
            .unwrap();
        let nonce = nonce_of(session.evidence_headers());
        Self {
            session,
            resource: stack.enclave.resource.clone(),
            nonce: Mutex::new(nonce),
        }
    }

    /// The enclave's latest nonce.
    pub fn nonce(&self) -> String {
        self.nonce.lock().unwrap().clone()
    }

    /// A proof for `method` and `target`, of a token, by `key`.
    pub fn proof(
        &self,
        key: &DpopKey,
        token: &AccessToken,
        (method, target): (&str, &str),
        nonce: Option<&str>,
    ) -> String {
        let mut jti = [0; 16];
        aws_lc_rs::rand::fill(&mut jti).unwrap();
        let path = target.split('?').next().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let claims = ProofClaims {
            method,
            htu: &format!("{}{path}", self.resource),
            iat: now.as_secs(),
            jti: &hex::encode(jti),
            ath: Some(&access_token_hash(token.expose())),
            nonce,
        };
        make_proof(&claims, key).unwrap()
    }

    /// Sends a request without a body.
    pub async fn send(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = target.parse().unwrap();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let response = self.session.send(request).await.unwrap();
        let (head, body) = response.into_parts();
        *self.nonce.lock().unwrap() = nonce_of(&head.headers);
        let code = head.headers.get("dauth-error");
        Answer {
            status: head.status.as_u16(),
            code: code.map(|code| code.to_str().unwrap().to_owned()),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Sends a request as a client should: DPoP scheme, fresh proof, current nonce.
    pub async fn call(&self, target: &str, token: &AccessToken, key: &DpopKey) -> Answer {
        let nonce = self.nonce();
        let proof = self.proof(key, token, ("GET", target), Some(&nonce));
        let authorization = format!("DPoP {}", token.expose());
        let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
        self.send("GET", target, &fields).await
    }
}

impl StackFile {
    /// What this stack's clients require of the enclave.
    pub fn expectations(&self) -> Expectations {
        let root = std::fs::read_to_string(&self.trust.root).unwrap();
        let image = self
            .trust
            .pcrs
            .iter()
            .fold(ReferenceValues::new(), |image, (index, value)| {
                image.with_pcr(index.parse().unwrap(), &hex::decode(value).unwrap())
            });
        Expectations {
            anchors: TrustAnchors::from_pem(&root).unwrap(),
            images: Images::AnyOf(vec![image]),
            audience: self.enclave.resource.clone(),
            max_age: Duration::from_secs(300),
            custody: Custody::Any,
            keysets: Arc::new(KeysetMemory::in_process()),
        }
    }
}

fn nonce_of(headers: &HeaderMap) -> String {
    headers["dpop-nonce"].to_str().unwrap().to_owned()
}
