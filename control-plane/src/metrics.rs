//! Counters, as Prometheus text.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
