//! Whether an enclave is there, whether it is to stop, and what it counts.
use std::sync::Arc;

use dauth_protocol::host::{EnclaveMetrics, MAX_METRICS_BYTES};
use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::{Reply, collect, problem, reply::status};
use crate::fleet::Member;

/// `GET /v1/shutdown`: answered when the enclave is to stop. While it is open the enclave is ready;
/// a connection that breaks drops this.
pub(super) async fn until_shutdown(member: &Arc<Member>) -> Reply {
    let _watched = member.watched();
    member.until_told_to_stop().await;
    status(StatusCode::NO_CONTENT)
}

/// `POST /v1/metrics`: kept until the next ones come.
pub(super) async fn take_metrics(member: &Member, request: Request<Incoming>) -> Reply {
    let body = match collect(request, MAX_METRICS_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match serde_json::from_slice::<EnclaveMetrics>(&body) {
        Ok(metrics) => {
            member.take_metrics(metrics);
            status(StatusCode::NO_CONTENT)
        }
        Err(_) => problem(StatusCode::BAD_REQUEST, "these are no metrics"),
    }
}
