//! Requests to the enclave.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_attested_tls::{Body, EndorsedKeys, Expectations, SendError, body};
use dauth_protocol::{Code, limit::MAX_RECORD_BYTES, receipt::Admitted};
use http::{
    HeaderMap, Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::Mutex;

use crate::{
    AccessToken, CallBody, CallError, CallRequest, DauthRefusal, DpopKey, ProofError, SessionError,
    call::{DPOP, passing, target},
    live::Live,
    proof::{ProofFor, prove},
    refusal::MAX_PROBLEM_BYTES,
};

/// How long a session is kept: its evidence is at most this much older than a call.
pub const MAX_SESSION_AGE: Duration = Duration::from_secs(600);
/// How often a request is sent that no enclave has processed.
const MAX_ATTEMPTS: u32 = 4;
/// A reply to an admission: record and receipt in base64, and the JSON around them.
const MAX_ADMITTED_BYTES: usize = MAX_RECORD_BYTES * 2;

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
        let outgoing = Outgoing {
            method: request.method,
            target: target(&request.handle, &request.path_and_query)?,
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
            CallBody::Stream(stream) => {
                self.live().await?.freshen_nonce().await;
                (stream, None)
            }
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

    /// Sends on the session there is; on a new one, if the enclave has not processed the request:
    /// one that is stopped finishes what it took and refuses the rest (RFC 9113 section 6.8).
    async fn once(
        &self,
        outgoing: &Outgoing,
        body: Body,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Response<Incoming>, CallError> {
        let (mut body, mut attempt) = (body, 1);
        let (live, response) = loop {
            let live = self.live().await?;
            let request = self.request(outgoing, body, token, key, &live)?;
            let SendError { source, unsent } = match live.session.send(request).await {
                Ok(response) => break (live, response),
                Err(error) => error,
            };
            self.forget(&live).await;
            body = match unsent {
                Some(unsent) if attempt < MAX_ATTEMPTS => unsent,
                _ => return Err(CallError::Broken(source)),
            };
            attempt += 1;
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

async fn explained(code: Code, response: Response<Incoming>) -> DauthRefusal {
    let problem = Limited::new(response.into_body(), MAX_PROBLEM_BYTES);
    let body = problem.collect().await.map(|whole| whole.to_bytes());
    DauthRefusal::from_reply(code, &body.unwrap_or_default())
}
