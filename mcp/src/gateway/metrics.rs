//! Counters, in Prometheus' text format.
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Dispatched, Refusal};

#[derive(Default)]
pub(super) struct Metrics {
    answered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    pub(super) fn count(&self, outcome: &Result<Dispatched, Refusal>) {
        let counter = match outcome {
            Ok(Ok(_)) => &self.answered,
            Ok(Err(_)) => &self.failed,
            Err(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn to_text(&self) -> String {
        let [answered, failed, refused] =
            [&self.answered, &self.failed, &self.refused].map(|c| c.load(Ordering::Relaxed));
        format!(
            "# HELP dauth_gateway_dispatches_total Dispatches by how they ended.\n\
             # TYPE dauth_gateway_dispatches_total counter\n\
             dauth_gateway_dispatches_total{{outcome=\"answered\"}} {answered}\n\
             dauth_gateway_dispatches_total{{outcome=\"failed\"}} {failed}\n\
             dauth_gateway_dispatches_total{{outcome=\"refused\"}} {refused}\n"
        )
    }
}
