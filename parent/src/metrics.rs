//! Counters, in Prometheus' text format.
use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::fleet::Member;

mod enclaves;

/// What the parent counts.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) ingress_connections: AtomicU64,
    pub(crate) ingress_bytes: Arc<AtomicU64>,
    pub(crate) ingress_refused: AtomicU64,
    pub(crate) enclave_unreachable: AtomicU64,
    pub(crate) egress_tunnels: AtomicU64,
    pub(crate) egress_bytes: Arc<AtomicU64>,
    pub(crate) egress_refused: AtomicU64,
    pub(crate) egress_failed: AtomicU64,
    pub(crate) host_refused: AtomicU64,
    pub(crate) records_fetched: AtomicU64,
    pub(crate) records_failed: AtomicU64,
    pub(crate) receipt_batches: AtomicU64,
    pub(crate) receipt_failures: AtomicU64,
    pub(crate) keyset_changes: AtomicU64,
    pub(crate) keyset_conflicts: AtomicU64,
    pub(crate) role_renewals: AtomicU64,
    pub(crate) role_failures: AtomicU64,
    pub(crate) role_renewed: Mutex<Option<Instant>>,
    pub(crate) events: AtomicU64,
    pub(crate) events_dropped: AtomicU64,
    pub(crate) enclave_starts: AtomicU64,
    pub(crate) enclave_start_failures: AtomicU64,
    pub(crate) enclave_deaths: AtomicU64,
    pub(crate) enclave_upgrades: AtomicU64,
    pub(crate) enclave_upgrade_failures: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) reload_failures: AtomicU64,
}

impl Metrics {
    /// One more.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Role credentials were taken from the instance metadata service.
    pub(crate) fn role_was_renewed(&self) {
        Self::add(&self.role_renewals);
        let mut renewed = self
            .role_renewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *renewed = Some(Instant::now());
    }

    /// Prometheus' text exposition format, version 0.0.4; each enclave's own figures at the end.
    pub(crate) fn to_text(&self, enclaves: &[Arc<Member>]) -> String {
        let mut text = self.own_counters();
        let version = env!("CARGO_PKG_VERSION");
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP dauth_parent_build_info The version of this program.\n\
             # TYPE dauth_parent_build_info gauge\n\
             dauth_parent_build_info{{version=\"{version}\"}} 1\n"
        );
        let renewed = *self
            .role_renewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(renewed) = renewed {
            let _ = write!(
                text,
                "# HELP dauth_parent_role_age_seconds Time since role credentials were taken from \
                 the instance metadata service.\n\
                 # TYPE dauth_parent_role_age_seconds gauge\n\
                 dauth_parent_role_age_seconds {}\n",
                renewed.elapsed().as_secs()
            );
        }
        enclaves::write(&mut text, enclaves);
        text
    }

    fn own_counters(&self) -> String {
        let counters: [(&str, &str, &AtomicU64); 26] = [
            (
                "ingress_connections_total",
                "Connections relayed to the enclave.",
                &self.ingress_connections,
            ),
            (
                "ingress_bytes_total",
                "Bytes relayed between clients and the enclave.",
                &self.ingress_bytes,
            ),
            (
                "ingress_refused_total",
                "Connections closed because all slots were taken.",
                &self.ingress_refused,
            ),
            (
                "enclave_unreachable_total",
                "Connections that the enclave did not accept.",
                &self.enclave_unreachable,
            ),
            (
                "egress_tunnels_total",
                "Tunnels opened for the enclave.",
                &self.egress_tunnels,
            ),
            (
                "egress_bytes_total",
                "Bytes relayed between the enclave and upstreams.",
                &self.egress_bytes,
            ),
            (
                "egress_refused_total",
                "Destinations that the guard refused.",
                &self.egress_refused,
            ),
            (
                "egress_failed_total",
                "Destinations that could not be reached.",
                &self.egress_failed,
            ),
            (
                "host_refused_total",
                "Host service connections closed because all slots were taken.",
                &self.host_refused,
            ),
            (
                "record_fetches_total",
                "Records fetched from the control plane.",
                &self.records_fetched,
            ),
            (
                "record_failures_total",
                "Record fetches that failed.",
                &self.records_failed,
            ),
            (
                "receipt_batches_total",
                "Batches of receipts that the control plane stored.",
                &self.receipt_batches,
            ),
            (
                "receipt_failures_total",
                "Batches of receipts that the control plane refused, or did not answer for.",
                &self.receipt_failures,
            ),
            (
                "keyset_changes_total",
                "Keysets stored: the first one, and each generation after it.",
                &self.keyset_changes,
            ),
            (
                "keyset_conflicts_total",
                "Keysets not stored because another enclave's came first.",
                &self.keyset_conflicts,
            ),
            (
                "role_renewals_total",
                "Role credentials taken from the instance metadata service.",
                &self.role_renewals,
            ),
            (
                "role_failures_total",
                "Role credentials that the instance metadata service did not give.",
                &self.role_failures,
            ),
            (
                "events_total",
                "Events taken from the enclave.",
                &self.events,
            ),
            (
                "events_dropped_total",
                "Events lost: malformed, or more than could be written.",
                &self.events_dropped,
            ),
            (
                "enclave_starts_total",
                "Enclaves that were started.",
                &self.enclave_starts,
            ),
            (
                "enclave_start_failures_total",
                "Enclaves that nitro-cli did not start.",
                &self.enclave_start_failures,
            ),
            (
                "enclave_deaths_total",
                "Enclaves that ended, or were ended, without an order to.",
                &self.enclave_deaths,
            ),
            (
                "enclave_upgrades_total",
                "Enclaves that were replaced by one of another image.",
                &self.enclave_upgrades,
            ),
            (
                "enclave_upgrade_failures_total",
                "Enclaves that stayed because the one of another image did not get ready.",
                &self.enclave_upgrade_failures,
            ),
            (
                "reloads_total",
                "Configurations that were applied while serving.",
                &self.reloads,
            ),
            (
                "reload_failures_total",
                "Configurations that were not applied, because something in them is wrong.",
                &self.reload_failures,
            ),
        ];
        let mut text = String::new();
        for (name, help, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP dauth_parent_{name} {help}\n# TYPE dauth_parent_{name} counter\n\
                 dauth_parent_{name} {value}\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_help_type_and_value() {
        let metrics = Metrics::default();
        Metrics::add(&metrics.egress_refused);
        let text = metrics.to_text(&[]);
        assert_eq!(text.lines().count(), (26 + 1) * 3);
        assert!(text.contains("\ndauth_parent_egress_refused_total 1\n"));
        assert!(text.contains("# TYPE dauth_parent_events_total counter\n"));
    }
}
