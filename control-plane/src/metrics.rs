//! Counters, as Prometheus text.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::header;

use crate::{app::App, oauth_error::ErrorCode};

/// Counts by label. Every label comes from this program, so that no request can add one.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    issued: Mutex<BTreeMap<&'static str, u64>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) receipts: Receipts,
}

/// Receipts of calls, by what became of them.
#[derive(Default)]
pub(crate) struct Receipts {
    /// Stored in full.
    pub(crate) stored: AtomicU64,
    /// Kept by their digests alone: their owners have too many, or are not known.
    pub(crate) digests_alone: AtomicU64,
    /// Removed, being too old.
    pub(crate) removed: AtomicU64,
    /// Batches that were refused: they are malformed, or another stands in their place.
    pub(crate) batches_refused: AtomicU64,
    /// Batches that were put off: there is no room.
    pub(crate) batches_put_off: AtomicU64,
}

/// So many more.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Metrics {
    pub(crate) fn token_issued(&self, grant_type: &'static str) {
        *lock(&self.issued).entry(grant_type).or_default() += 1;
    }

    pub(crate) fn token_refused(&self, code: ErrorCode) {
        *lock(&self.refused).entry(code.as_str()).or_default() += 1;
    }

    fn request(&self, route: &str, status: u16) {
        *lock(&self.requests)
            .entry((route.to_owned(), status))
            .or_default() += 1;
    }

    fn to_text(&self, remembered_proofs: usize) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, remembered_proofs);
        text
    }

    fn write(&self, text: &mut String, remembered_proofs: usize) -> std::fmt::Result {
        writeln!(text, "# TYPE dauth_control_plane_requests_total counter")?;
        for ((route, status), count) in lock(&self.requests).iter() {
            writeln!(
                text,
                "dauth_control_plane_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            )?;
        }
        writeln!(
            text,
            "# TYPE dauth_control_plane_tokens_issued_total counter"
        )?;
        for (grant, count) in lock(&self.issued).iter() {
            writeln!(
                text,
                "dauth_control_plane_tokens_issued_total{{grant_type=\"{grant}\"}} {count}"
            )?;
        }
        writeln!(
            text,
            "# TYPE dauth_control_plane_tokens_refused_total counter"
        )?;
        for (error, count) in lock(&self.refused).iter() {
            writeln!(
                text,
                "dauth_control_plane_tokens_refused_total{{error=\"{error}\"}} {count}"
            )?;
        }
        for (name, counter) in [
            ("receipts_stored_total", &self.receipts.stored),
            ("receipts_digests_alone_total", &self.receipts.digests_alone),
            ("receipts_removed_total", &self.receipts.removed),
            (
                "receipt_batches_refused_total",
                &self.receipts.batches_refused,
            ),
            (
                "receipt_batches_put_off_total",
                &self.receipts.batches_put_off,
            ),
        ] {
            let value = counter.load(Ordering::Relaxed);
            writeln!(text, "# TYPE dauth_control_plane_{name} counter")?;
            writeln!(text, "dauth_control_plane_{name} {value}")?;
        }
        writeln!(text, "# TYPE dauth_control_plane_remembered_proofs gauge")?;
        writeln!(
            text,
            "dauth_control_plane_remembered_proofs {remembered_proofs}"
        )
    }
}

/// `GET /metrics`.
pub(crate) async fn get(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.to_text(app.dpop.remembered());
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}

/// Counts a request by the route that it matched.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let response = next.run(request).await;
    app.metrics.request(&route, response.status().as_u16());
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
