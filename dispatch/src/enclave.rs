//! Requests to the enclave.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_attested_tls::{Body, EndorsedKeys, Expectations, SendError, body};
use dauth_protocol::{Code, Handle, limit::MAX_RECORD_BYTES, receipt::Admitted};
use http::{
    HeaderMap, HeaderName, Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::Mutex;

use crate::{
    AccessToken, DauthRefusal, DpopKey, ProofError, SessionError,
    live::Live,
    proof::{ProofFor, prove},
    refusal::MAX_PROBLEM_BYTES,
};

/// How long a session is kept: its evidence is at most this much older than a call.
pub const MAX_SESSION_AGE: Duration = Duration::from_secs(600);
/// A reply to an admission: record and receipt in base64, and the JSON around them.
const MAX_ADMITTED_BYTES: usize = MAX_RECORD_BYTES * 2;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Fields of a caller's request that are the session's own: set by it, never taken over.
const OF_THE_SESSION: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The body of a call.
#[derive(Debug)]
pub enum CallBody {
    /// Bytes at hand. They can be sent a second time when the enclave asks for a newer nonce.
    Bytes(Bytes),
    /// A stream. It is sent once; if the nonce was too old, the refusal goes to the caller.
    Stream(Body),
}

/// A sealed call.
#[derive(Debug)]
pub struct CallRequest {
    /// Which connection.
    pub handle: Handle,
    /// The method.
    pub method: Method,
    /// The path below the connection's base URL, from its `/`, and the query; sent as it stands.
    pub path_and_query: String,
    /// Header fields for the upstream; the enclave passes those that it allows.
    pub headers: HeaderMap,
    /// The body.
    pub body: CallBody,
}

/// Why a request to the enclave has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no attested session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// DAuth refused.
    #[error(transparent)]
    Refused(#[from] DauthRefusal),
    /// No proof could be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The session broke. Whether the enclave acted on the request is not known.
    #[error("the session with the enclave broke, and the call may have been made: {0}")]
    Broken(#[source] hyper::Error),
    /// The path cannot be sent as it stands.
    #[error("the path must begin with / and hold no space and no fragment: {0:?}")]
    Path(String),
    /// A caller's own credential or proof for DAuth.
    #[error("the header {0} belongs to DAuth itself and cannot be set by a caller")]
    ReservedHeader(HeaderName),
    /// The access token holds what no header can carry.
    #[error("the access token cannot be sent: it holds characters that no header may hold")]
    Token,
    /// The enclave's answer is not the one that the request has.
    #[error("the enclave's answer is malformed")]
    Malformed,
}

impl CallError {
    /// The code, when DAuth refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            CallError::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

/// Sends requests to one enclave, or one fleet of them, behind an ingress.
///
/// It keeps one attested session, and makes a new one when that breaks or grows old.
pub struct EnclaveClient {
    ingress: String,
    expectations: Expectations,
    live: Mutex<Option<Arc<Live>>>,
}

impl EnclaveClient {
    /// A client of the enclave behind `ingress` (`host:port`). Nothing is dialled yet.
    ///
    /// The resource identifier, which proofs name, is the audience of the expectations.
    pub fn new(ingress: impl Into<String>, expectations: Expectations) -> Self {
        Self {
            ingress: ingress.into(),
            expectations,
            live: Mutex::new(None),
        }
    }

    /// The enclave's resource identifier.
    pub fn resource(&self) -> &str {
        &self.expectations.audience
    }

    /// The keys of an enclave whose evidence was made for this very request.
    pub async fn evidence(&self) -> Result<EndorsedKeys, SessionError> {
        let live = Arc::new(Live::open(&self.ingress, &self.expectations).await?);
        let keys = live.session.keys().clone();
        *self.live.lock().await = Some(live);
        Ok(keys)
    }

    /// A sealed call. The reply is the upstream's, its body still streaming.
    pub async fn call(
        &self,
        request: CallRequest,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Response<Incoming>, CallError> {
        let below = &request.path_and_query;
        let target = format!("/v1/connections/{}{below}", request.handle);
        // `PathAndQuery` would drop a fragment without a word.
        if !below.starts_with('/') || below.contains('#') {
            return Err(CallError::Path(below.clone()));
        }
        let outgoing = Outgoing {
            method: request.method,
            target: target.parse().map_err(|_| CallError::Path(below.clone()))?,
            headers: passing(request.headers)?,
        };
        self.send(outgoing, request.body, token, key).await
    }

    /// Admission of an envelope.
    pub async fn admit(
        &self,
        envelope: Vec<u8>,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Admitted, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cose"));
        let outgoing = Outgoing {
            method: Method::POST,
            target: PathAndQuery::from_static("/v1/admit"),
            headers,
        };
        let body = CallBody::Bytes(envelope.into());
        let response = self.send(outgoing, body, token, key).await?;
        let whole = Limited::new(response.into_body(), MAX_ADMITTED_BYTES)
            .collect()
            .await
            .map_err(|_| CallError::Malformed)?;
        serde_json::from_slice(&whole.to_bytes()).map_err(|_| CallError::Malformed)
    }

    async fn send(
        &self,
        outgoing: Outgoing,
        body: CallBody,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Response<Incoming>, CallError> {
        let (first, again) = match body {
            CallBody::Bytes(bytes) => (full(bytes.clone()), Some(bytes)),
            CallBody::Stream(stream) => (stream, None),
        };
        match (self.once(&outgoing, first, token, key).await, again) {
            (Err(CallError::Refused(refusal)), Some(bytes))
                if refusal.code == Code::UseDpopNonce =>
            {
                self.once(&outgoing, full(bytes), token, key).await
            }
            (outcome, _) => outcome,
        }
    }

    /// Sends on the session there is; on a new one, if nothing of the request had left.
    async fn once(
        &self,
        outgoing: &Outgoing,
        body: Body,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Response<Incoming>, CallError> {
        let live = self.live().await?;
        let request = self.request(outgoing, body, token, key, &live)?;
        let (live, response) = match live.session.send(request).await {
            Ok(response) => (live, response),
            Err(SendError {
                unsent: Some(unsent),
                ..
            }) => {
                self.forget(&live).await;
                let live = self.live().await?;
                let body = unsent.into_body();
                let request = self.request(outgoing, body, token, key, &live)?;
                let sent = live.session.send(request).await;
                let response = sent.map_err(|error| CallError::Broken(error.source))?;
                (live, response)
            }
            Err(error) => {
                self.forget(&live).await;
                return Err(CallError::Broken(error.source));
            }
        };
        live.learn(response.headers());
        match DauthRefusal::code_of(response.headers()) {
            None => Ok(response),
            Some(code) => Err(CallError::Refused(explained(code, response).await)),
        }
    }

    fn request(
        &self,
        outgoing: &Outgoing,
        body: Body,
        token: &AccessToken,
        key: &DpopKey,
        live: &Live,
    ) -> Result<Request<Body>, CallError> {
        let htu = format!("{}{}", self.expectations.audience, outgoing.target.path());
        let nonce = live.nonce();
        let proof = prove(
            &ProofFor {
                method: outgoing.method.as_str(),
                htu: &htu,
                token: Some(token),
                nonce: nonce.as_deref(),
            },
            key,
        )?;
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = outgoing.target.clone().into();
        *request.headers_mut() = outgoing.headers.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token.header().ok_or(CallError::Token)?);
        headers.insert(DPOP, proof.parse().map_err(|_| ProofError::Sign)?);
        Ok(request)
    }

    /// The session kept, or a new one: made once, however many wait for it.
    async fn live(&self) -> Result<Arc<Live>, SessionError> {
        let mut kept = self.live.lock().await;
        if let Some(live) = kept.as_ref().filter(|live| live.is_usable(MAX_SESSION_AGE)) {
            return Ok(Arc::clone(live));
        }
        let live = Arc::new(Live::open(&self.ingress, &self.expectations).await?);
        *kept = Some(Arc::clone(&live));
        Ok(live)
    }

    async fn forget(&self, broken: &Arc<Live>) {
        let mut kept = self.live.lock().await;
        if kept.as_ref().is_some_and(|live| Arc::ptr_eq(live, broken)) {
            *kept = None;
        }
    }
}

impl core::fmt::Debug for EnclaveClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EnclaveClient")
            .field("ingress", &self.ingress)
            .field("expectations", &self.expectations)
            .finish_non_exhaustive()
    }
}

/// All of a request but its body, which alone may be good for one sending only.
struct Outgoing {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
}

fn full(bytes: Bytes) -> Body {
    body(Full::new(bytes))
}

/// A caller's fields, without those of the session; DAuth's own are an error, not a silent loss.
fn passing(mut headers: HeaderMap) -> Result<HeaderMap, CallError> {
    for reserved in [AUTHORIZATION, DPOP] {
        if headers.contains_key(&reserved) {
            return Err(CallError::ReservedHeader(reserved));
        }
    }
    for name in OF_THE_SESSION {
        headers.remove(*name);
    }
    Ok(headers)
}

async fn explained(code: Code, response: Response<Incoming>) -> DauthRefusal {
    let problem = Limited::new(response.into_body(), MAX_PROBLEM_BYTES);
    let body = problem.collect().await.map(|whole| whole.to_bytes());
    DauthRefusal::from_reply(code, &body.unwrap_or_default())
}
