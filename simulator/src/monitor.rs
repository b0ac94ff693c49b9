//! `/healthz`, `/readyz` and `/metrics` of the demo servers.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, extract::Request, middleware, routing::get};

/// Adds the three addresses to `served`, and counts its requests.
///
/// `party` names the metric: `dauth_<party>_requests_total`.
pub(crate) fn monitored(served: Router, party: &'static str) -> Router {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let count = move |request: Request, next: middleware::Next| {
        counted.fetch_add(1, Ordering::Relaxed);
        next.run(request)
    };
    let metrics = move || async move {
        let name = format!("dauth_{party}_requests_total");
        let total = requests.load(Ordering::Relaxed);
        format!("# HELP {name} Requests received.\n# TYPE {name} counter\n{name} {total}\n")
    };
    served
        .layer(middleware::from_fn(count))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(|| async { "ready\n" }))
        .route("/metrics", get(metrics))
}
