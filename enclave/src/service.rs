//! What each address of the enclave answers: evidence, admission, sealed calls.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{Code, DeploymentConfiguration, Problem, audit::ReceiptId, limit};
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
    open::{CallRequest, Opened, Opener},
    receipt::{Account, Arrival, Receipts},
    reencrypt::Reencryptor,
    refusal::Refusal,
    reply::ReplyBody,
    scrub::ScrubbedBody,
    suspension::{SUSPENDED, Suspensions},
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
    receipts: Receipts,
    suspensions: Suspensions,
    upstream: Upstream,
    events: Events,
}

/// What a service is made of, as it was booted.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Evidence.
    pub evidence: EvidenceService,
    /// The keyset that serves.
    pub keeper: Keeper,
    /// The parent.
    pub host: HostServices,
    /// Receipts of calls.
    pub receipts: Receipts,
    /// What the operator is told.
    pub events: Events,
}

impl Service {
    /// The service of a booted enclave.
    pub fn new(
        configuration: &DeploymentConfiguration,
        trust: &Trust,
        parts: Parts,
    ) -> Result<Self, BootError> {
        let Parts {
            clock,
            evidence,
            keeper,
            host,
            receipts,
            events,
        } = parts;
        let keys = IssuerKeys::new(configuration, host.clone())?;
        let reencryptor = Reencryptor::start(host.clone(), events.clone());
        Ok(Self {
            clock,
            evidence,
            authorizer: Authorizer::new(configuration, keys, now_s())?,
            keeper,
            opener: Opener::new(host.clone(), reencryptor),
            receipts,
            suspensions: Suspensions::default(),
            upstream: Upstream::new(host, Arc::clone(&trust.upstream))?,
            events,
        })
    }

    /// Answers a request. Every reply carries a nonce for the next one.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let method = request.method().clone();
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(refusal) => self.refuse(refusal, None, &method),
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
        let arrival = Arrival::now();
        let caller = self.authenticate(&request, now_s).await?;
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let asked = CallRequest {
            target,
            method: head.method,
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
        };
        let opened = self.opener.open(&self.keeper, &caller, asked).await?;
        // From here on the call leaves a receipt, whatever becomes of it.
        let mut account = self.receipts.open(opened.subject(), arrival)?;
        let id = account.id();
        let handle = opened.handle().clone();
        let mut response = match self.make(opened, body, &mut account, now_s).await {
            Ok(response) => {
                account.answered(response.status());
                self.events.note(Event::Called {
                    handle,
                    receipt: id,
                    status: response.status().as_u16(),
                    micros: u64::try_from(account.elapsed().as_micros()).unwrap_or(u64::MAX),
                });
                response.map(ReplyBody::scrubbed)
            }
            Err(refusal) => {
                account.refused(refusal.code);
                self.refuse(refusal, Some(id), &method)
            }
        };
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(DAUTH_RECEIPT_ID, id);
        }
        Ok(response.map(|body| body.accounted(account)))
    }

    /// Checks a call against its record, and makes it.
    async fn make(
        &self,
        opened: Opened<'_>,
        body: Incoming,
        account: &mut Account,
        now_s: u64,
    ) -> Result<Response<ScrubbedBody>, Refusal> {
        let connection = opened.connection();
        let (call, secret) = self.opener.authorize(opened, now_s)?;
        let limits = call.policy.limits;
        let max_per_hour = limits.max_reflections_per_hour;
        let watched = self
            .suspensions
            .watch(connection, call.version, max_per_hour)?;
        account.watch(watched);
        let body = account.sending(body, limits.max_request_bytes);
        self.upstream.call(call, secret, body).await
    }

    /// A refusal, of which the operator is told.
    fn refuse(
        &self,
        refusal: Refusal,
        receipt: Option<ReceiptId>,
        method: &Method,
    ) -> Response<ReplyBody> {
        self.events.note(Event::Refused {
            code: refusal.code,
            detail: refusal.detail,
            receipt,
        });
        refused(refusal, method)
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
    problem.retryable &= may_be_repeated(refusal, method);
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
fn may_be_repeated(refusal: Refusal, method: &Method) -> bool {
    match refusal.code {
        Code::DownstreamUnreachable | Code::DownstreamTimeout => method.is_idempotent(),
        // Waiting does not lift it.
        _ if refusal == SUSPENDED => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
