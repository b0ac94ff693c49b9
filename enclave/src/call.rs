//! Makes a call: the upstream request from what the policy lets pass, the reply from what may be
//! shown to a caller.
mod reply;
mod request;
#[cfg(test)]
pub(crate) mod tests;

use std::{error::Error, time::Duration};

use bytes::Bytes;
use dauth_protocol::Code;
use dauth_sealing::Secret;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    authorize::{Authorized, Call},
    inject::{self, Placeholder, Prepared, Rendered},
    refusal::Refusal,
    scrub::{Delivery, ScrubbedBody, Scrubber, Watch},
    upstream::{
        Lease, NoReply, Origin, Outgoing, OutgoingError, PoolKey, PoolOwner, Sent, TIMED_OUT,
        Upstream,
    },
};

impl Upstream {
    /// Makes `call` with `secret` and returns the upstream's reply, scrubbed.
    ///
    /// The secret is wiped when the head of the reply is there; what redacts the body, when the
    /// body has ended or is dropped. Dropping the future closes the connection.
    pub async fn call<B>(
        &self,
        call: Authorized<Call>,
        secret: Secret,
        body: B,
    ) -> Result<Response<ScrubbedBody>, Refusal>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let call = call.into_inner();
        inject::check_query(&call.policy.injection, call.query.as_deref())?;
        let body = Outgoing::new(body, call.policy.limits.max_request_bytes)
            .map_err(OutgoingError::refusal)?;
        let time = Duration::from_millis(call.policy.limits.timeout_ms);
        let replied = Box::pin(async {
            let scrubber = scrubber(&call, &secret)?;
            let (response, lease) = self.exchange(&call, &secret, &scrubber, body).await?;
            drop(secret);
            reply::scrubbed(&call, scrubber, response, lease).await
        });
        timeout(time, replied).await.map_err(|_| TIMED_OUT)?
    }

    async fn exchange(
        &self,
        call: &Call,
        secret: &Secret,
        scrubber: &Scrubber,
        body: Outgoing,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        let key = PoolKey {
            owner: PoolOwner {
                issuer: call.owner.issuer.clone(),
                subject: call.owner.subject.clone(),
            },
            fingerprint: call.fingerprint,
            caller: call.caller.clone(),
            authority: call.policy.base_url.authority(),
        };
        let has_body = !body.is_end_stream();
        // Before anything is dialled, so that what cannot be sent is seen by nobody.
        let ready = Ready::new(call, secret, body)?;
        let lease = self.lease(key.clone(), &call.policy.base_url).await?;
        let origin = lease.origin();
        #[cfg(mutations)]
        crate::mutation::panic_at("/panic", call.path.as_str());
        let unsent = match ready.send(lease, scrubber.watch()).await {
            Ok(replied) => return Ok(replied),
            Err(NoReply {
                sent: Sent::Nothing(request),
                ..
            }) if origin == Origin::Pool => request.into_body(),
            // RFC 9110 section 9.2.2: an idempotent request may be repeated.
            Err(NoReply {
                sent: Sent::Unanswered,
                ..
            }) if origin == Origin::Pool && !has_body && call.method.is_idempotent() => {
                Outgoing::empty()
            }
            Err(NoReply { refusal, .. }) => return Err(refusal),
        };
        let ready = Ready::new(call, secret, unsent)?;
        let lease = self.lease_new(key, &call.policy.base_url).await?;
        let replied = ready.send(lease, scrubber.watch()).await;
        replied.map_err(|no_reply| no_reply.refusal)
    }
}

/// What takes the secret out of the reply, and watches what comes before and beside it.
fn scrubber(call: &Call, secret: &Secret) -> Result<Scrubber, Refusal> {
    let rendered = Rendered::new(&call.policy.injection, secret.expose())?;
    let needles = [secret.expose(), rendered.expose()];
    Ok(Scrubber::new(&needles, Delivery::FixedTail))
}

/// A request and what goes into it above TLS.
struct Ready {
    request: Request<Outgoing>,
    placeholder: Placeholder,
    rendered: Rendered,
}

impl Ready {
    fn new(call: &Call, secret: &Secret, body: Outgoing) -> Result<Self, Refusal> {
        let Prepared {
            carrier,
            placeholder,
            rendered,
        } = Prepared::new(&call.policy.injection, secret.expose())?;
        let request = request::build(call, carrier, body)?;
        Ok(Self {
            request,
            placeholder,
            rendered,
        })
    }

    async fn send(
        self,
        mut lease: Lease,
        watch: Watch,
    ) -> Result<(Response<Incoming>, Lease), NoReply> {
        let Self {
            request,
            placeholder,
            rendered,
        } = self;
        let response = lease
            .connection()
            .send(request, placeholder, rendered, watch)
            .await?;
        Ok((response, lease))
    }
}

const UNSENDABLE: Refusal = Refusal::new(
    Code::InvalidRequest,
    "the path, query or headers cannot be sent upstream",
);
