//! What each address of the enclave answers: evidence, admission, sealed calls.
mod answer;
mod call;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{Code, DeploymentConfiguration, audit::ReceiptId, limit};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use answer::{json, refused};

use crate::{
    admit::{Admission, admit},
    authorize::{Authenticated, Authorizer, RequestHead, Target},
    boot::BootError,
    clock::{Clock, now_s},
    event::{Event, Events},
    evidence::EvidenceService,
    host::HostServices,
    in_progress::{CALLS, InProgress},
    issuer::IssuerKeys,
    keyset::Keeper,
    open::Opener,
    receipt::Receipts,
    reencrypt::Reencryptor,
    refusal::Refusal,
    reply::ReplyBody,
    suspension::Suspensions,
    trust::Trust,
    upstream::Upstream,
};

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

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
    in_progress: InProgress,
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
            in_progress: InProgress::new(CALLS),
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

#[cfg(test)]
mod tests;
