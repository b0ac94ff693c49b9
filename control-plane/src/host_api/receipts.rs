//! `POST /internal/receipts`: a batch of receipts.
use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

use super::{is_host, unauthorized};
use crate::{
    app::App,
    batch::Batch,
    clock, metrics,
    store::{KeepError, Kept},
};

/// The route.
pub(crate) const PATH: &str = "/internal/receipts";

/// 204 when it is stored, also when it was before; 400 when it is no batch; 409 when another stands
/// in its place; 507 when there is no room for more.
pub(crate) async fn post(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_host(&app, &headers) {
        return unauthorized();
    }
    let counters = &app.metrics.receipts;
    let batch = match Batch::parse(&body) {
        Ok(batch) => batch,
        Err(error) => {
            tracing::warn!(%error, "a host's batch of receipts is refused");
            metrics::add(&counters.batches_refused, 1);
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let (place, room) = (batch.place(), app.settings.receipts.room());
    let (boot, first, count) = (place.boot, place.first, place.count);
    let kept = app.store.keep_receipts(&batch, room, clock::now_s()).await;
    let status = match kept {
        Ok(Kept::Now { in_full }) => {
            tracing::info!(%boot, first, count, in_full, "receipts stored");
            metrics::add(&counters.stored, in_full);
            metrics::add(&counters.digests_alone, count.saturating_sub(in_full));
            StatusCode::NO_CONTENT
        }
        Ok(Kept::Before) => StatusCode::NO_CONTENT,
        Err(KeepError::Full) => {
            tracing::error!(%boot, first, "there is no room for more receipts: [receipts] max_mib");
            metrics::add(&counters.batches_put_off, 1);
            StatusCode::INSUFFICIENT_STORAGE
        }
        Err(error @ KeepError::Conflict) => {
            tracing::warn!(%boot, first, count, %error, "a host's batch of receipts is refused");
            metrics::add(&counters.batches_refused, 1);
            StatusCode::CONFLICT
        }
        Err(KeepError::Store(error)) => {
            tracing::error!(%error, "the store failed");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    status.into_response()
}
