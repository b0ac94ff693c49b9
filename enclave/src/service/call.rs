//! A sealed call, and the receipt that it leaves.
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;

use super::Service;
use crate::{
    authorize::Target,
    event::Event,
    open::{CallRequest, Opened},
    receipt::{Account, Arrival},
    refusal::Refusal,
    reply::ReplyBody,
    scrub::ScrubbedBody,
};

const DAUTH_RECEIPT_ID: HeaderName = HeaderName::from_static("dauth-receipt-id");

impl Service {
    /// Makes a call. From the moment on at which its record is open it leaves a receipt.
    pub(super) async fn call(
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
        account.hold(self.in_progress.begin(opened.owner())?);
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
}
