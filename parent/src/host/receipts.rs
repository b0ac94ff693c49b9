//! Receipts of calls, on their way from the enclave to the control plane. Nothing is kept or read
//! here: who could read a batch could not change it, and who drops one leaves a gap.
use dauth_protocol::limit::MAX_BATCH_BYTES;
use http::{Method, Request, StatusCode, header};
use hyper::body::{Bytes, Incoming};

use super::{HostServices, Records, Reply, collect, problem, reply::status};
use crate::metrics::Metrics;

/// Where the control plane takes them.
const PATH: &str = "/internal/receipts";

impl HostServices {
    /// `POST /v1/receipts`: 204 when they are stored. What the enclave must not send again is
    /// answered with 400 or 409, and all else it may.
    pub(super) async fn pass_receipts(&self, request: Request<Incoming>) -> Reply {
        let batch = match collect(request, MAX_BATCH_BYTES).await {
            Ok(batch) => batch,
            Err(refusal) => return refusal,
        };
        let reply = store(&self.records, batch).await;
        Metrics::add(if reply.status().is_success() {
            &self.metrics.receipt_batches
        } else {
            &self.metrics.receipt_failures
        });
        reply
    }
}

async fn store(control_plane: &Records, batch: Bytes) -> Reply {
    let request = control_plane
        .ask(Method::POST, PATH)
        .header(header::CONTENT_TYPE, "application/cbor")
        .body(batch);
    let refusal = match request.send().await.map(|response| response.status()) {
        Ok(StatusCode::NO_CONTENT) => return status(StatusCode::NO_CONTENT),
        Ok(code @ StatusCode::BAD_REQUEST) => problem(code, "that is no batch of receipts"),
        Ok(code @ StatusCode::CONFLICT) => problem(code, "another batch stands in its place"),
        Ok(code @ StatusCode::INSUFFICIENT_STORAGE) => problem(code, "there is no room for more"),
        Ok(code) => {
            tracing::warn!(status = %code, "the control plane did not store receipts");
            return problem(StatusCode::BAD_GATEWAY, "the receipts were not stored");
        }
        Err(error) => {
            // Without the URL, which reqwest's own message repeats.
            tracing::warn!("cannot pass on receipts: {}", error.without_url());
            return problem(StatusCode::BAD_GATEWAY, "the control plane does not answer");
        }
    };
    tracing::warn!(status = %refusal.status(), "the control plane refused receipts");
    refusal
}
