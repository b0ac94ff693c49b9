//! What each address of the enclave answers: evidence, admission, sealed calls.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{Code, DeploymentConfiguration, Problem, limit};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    admit::{Admission, admit},
    authorize::{Authenticated, Authorizer, RequestHead, Target},
    boot::BootError,
    clock::{Clock, now_s},
    event::{Event, Events},
    evidence::EvidenceService,
    host::HostServices,
    issuer::IssuerKeys,
    keyset::Keeper,
    open::{CallRequest, Opener},
    reencrypt::Reencryptor,
    refusal::Refusal,
    reply::ReplyBody,
    trust::Trust,
    upstream::Upstream,
};

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const DAUTH_ERROR: HeaderName = HeaderName::from_static("dauth-error");
const DAUTH_RECEIPT_ID: HeaderName = HeaderName::from_static("dauth-receipt-id");

const EVIDENCE_PATH: &str = "/.well-known/dauth/evidence";
const ADMIT_PATH: &str = "/v1/admit";

/// Time for an envelope, which is 128 KiB at most.
const ENVELOPE_TIMEOUT: Duration = Duration::from_secs(10);

const UNTRUSTED_TIME: Refusal = Refusal::new(
    Code::EnclaveUnavailable,
    "the enclave's clock is not to be trusted",
);

/// Everything that a request passes, in the order of the fields.
pub struct Service {
    clock: Clock,
    evidence: EvidenceService,
    authorizer: Authorizer,
    keeper: Keeper,
    opener: Opener,
    upstream: Upstream,
    events: Events,
}

impl Service {
    /// The service of a booted enclave.
    pub fn new(
        configuration: &DeploymentConfiguration,
        keeper: Keeper,
        host: HostServices,
        trust: &Trust,
        evidence: EvidenceService,
        clock: Clock,
        events: Events,
    ) -> Result<Self, BootError> {
        let keys = IssuerKeys::new(configuration, host.clone())?;
        Ok(Self {
            clock,
            evidence,
            authorizer: Authorizer::new(configuration, keys, now_s())?,
            keeper,
            opener: Opener::new(
                host.clone(),
                Reencryptor::start(host.clone(), events.clone()),
            ),
            upstream: Upstream::new(host, Arc::clone(&trust.upstream))?,
            events,
        })
    }

    /// Answers a request. Every reply carries a nonce for the next one.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let method = request.method().clone();
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(refusal) => {
                self.events.note(Event::Refused {
                    code: refusal.code,
                    detail: refusal.detail,
                });
                refused(refusal, &method)
            }
        };
        if let Ok(nonce) = HeaderValue::try_from(self.authorizer.nonce(now_s())) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Refusal> {
        let now_s = self.clock.trusted_now_s().ok_or(UNTRUSTED_TIME)?;
        let path = request.uri().path();
        if let Some(target) = Target::parse(path) {
            return self.call(target?, request, now_s).await;
        }
        match (path, request.method()) {
            (EVIDENCE_PATH, &Method::GET) => self.evidence(request.uri().query()).await,
            (ADMIT_PATH, &Method::POST) => self.admit(request, now_s).await,
            _ => Err(Refusal::new(
                Code::InvalidRequest,
                "nothing is at this address",
            )),
        }
    }

    async fn evidence(&self, query: Option<&str>) -> Result<Response<ReplyBody>, Refusal> {
        let serving = self.keeper.current();
        let keys = serving.key_configuration();
        json(&self.evidence.evidence(query, keys).await?)
    }

    async fn admit(
        &self,
        request: Request<Incoming>,
        now_s: u64,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let caller = self.authenticate(&request, now_s).await?;
        let envelope = received(request.into_body()).await?;
        let admission = Admission {
            caller: &caller,
            envelope: &envelope,
            audience: self.authorizer.audience(),
            versions: self.opener.versions(),
            now_s,
        };
        let deposit = admit(&self.keeper, &admission).await?;
        let receipt = deposit.receipt();
        self.events.note(Event::Admitted {
            handle: receipt.handle.clone(),
            version: receipt.version,
        });
        json(&deposit.admitted())
    }

    async fn call(
        &self,
        target: Target,
        request: Request<Incoming>,
        now_s: u64,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let started = std::time::Instant::now();
        let caller = self.authenticate(&request, now_s).await?;
        let (head, body) = request.into_parts();
        let asked = CallRequest {
            target,
            method: head.method,
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
        };
        let (call, secret) = self
            .opener
            .open(&self.keeper, &caller, asked, now_s)
            .await?;
        let handle = call.handle.clone();
        let receipt = receipt_id()?;
        let mut response = self
            .upstream
            .call(call, secret, body)
            .await?
            .map(ReplyBody::Scrubbed);
        self.events.note(Event::Called {
            handle,
            receipt: receipt.clone(),
            status: response.status().as_u16(),
            micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
        if let Ok(receipt) = HeaderValue::try_from(receipt) {
            response.headers_mut().insert(DAUTH_RECEIPT_ID, receipt);
        }
        Ok(response)
    }

    async fn authenticate(
        &self,
        request: &Request<Incoming>,
        now_s: u64,
    ) -> Result<Authenticated, Refusal> {
        let head = RequestHead {
            method: request.method(),
            path: request.uri().path(),
            headers: request.headers(),
        };
        self.authorizer.authenticate(&head, now_s).await
    }
}

/// The envelope, if it comes whole and in time.
async fn received<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = Limited::new(body, limit::MAX_ENVELOPE_BYTES).collect();
    let refusal = |detail| Refusal::new(Code::InvalidRequest, detail);
    match timeout(ENVELOPE_TIMEOUT, whole).await {
        Ok(Ok(envelope)) => Ok(envelope.to_bytes()),
        Ok(Err(_)) => Err(refusal("the envelope is cut off or too long")),
        Err(_) => Err(refusal("the envelope did not come within ten seconds")),
    }
}

/// Names a call in the reply and in the operator's events: 128 random bits.
fn receipt_id() -> Result<String, Refusal> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id)
        .map_err(|_| Refusal::new(Code::EnclaveUnavailable, "the source of randomness failed"))?;
    Ok(hex::encode(id))
}

fn json(value: &impl serde::Serialize) -> Result<Response<ReplyBody>, Refusal> {
    let body = serde_json::to_vec(value)
        .map_err(|_| Refusal::new(Code::EnclaveUnavailable, "the reply has no JSON form"))?;
    let mut response = Response::new(ReplyBody::own(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A refusal of a request by `method` as a problem document (RFC 9457).
fn refused(refusal: Refusal, method: &Method) -> Response<ReplyBody> {
    let Refusal { code, detail } = refusal;
    let mut problem = Problem::new(code, Some(detail));
    problem.retryable &= may_be_repeated(code, method);
    let mut response = Response::new(ReplyBody::own(problem.to_json()));
    *response.status_mut() =
        StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(DAUTH_ERROR, HeaderValue::from_static(code.as_str()));
    // RFC 9449 sections 7.1 and 9: how to do better.
    let challenge = match code {
        Code::UseDpopNonce => Some(r#"DPoP error="use_dpop_nonce", algs="ES256 EdDSA""#),
        Code::InvalidToken => Some(r#"DPoP error="invalid_token", algs="ES256 EdDSA""#),
        _ => None,
    };
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// After these the upstream may have acted all the same: only what is idempotent may then be sent
/// again without asking (RFC 9110 section 9.2.2).
fn may_be_repeated(code: Code, method: &Method) -> bool {
    match code {
        Code::DownstreamUnreachable | Code::DownstreamTimeout => method.is_idempotent(),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
