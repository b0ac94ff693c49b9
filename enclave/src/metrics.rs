//! What the enclave counts, and tells its parent every few seconds: numbers, and nothing else.
//!
//! Counting takes no lock and waits for nothing. A parent that does not take a report loses it.
mod memory;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use dauth_protocol::{Code, host::EnclaveMetrics};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    event::{Event, Events},
    host::HostServices,
    receipt::Receipts,
    server::Occupancy,
};

/// How often the parent is told.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What happened so far, by the events that say so, whether the parent read those or not.
#[derive(Debug)]
pub(crate) struct Counts {
    answered: AtomicU64,
    admitted: AtomicU64,
    /// Every code has its place from the beginning.
    refused: BTreeMap<Code, AtomicU64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            refused: Code::ALL.map(|code| (code, AtomicU64::new(0))).into(),
        }
    }
}

impl Counts {
    pub(crate) fn note(&self, event: &Event) {
        let count = match event {
            Event::Called { .. } => Some(&self.answered),
            Event::Admitted { .. } => Some(&self.admitted),
            Event::Refused { code, .. } => self.refused.get(code),
            _ => None,
        };
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
        }
    }

    fn refused(&self) -> BTreeMap<Code, u64> {
        let counts = self.refused.iter();
        let counts = counts.map(|(code, count)| (*code, count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// Everything that has a number to report.
pub(crate) struct Reporter {
    pub(crate) events: Events,
    pub(crate) receipts: Receipts,
    pub(crate) occupancy: Arc<Occupancy>,
    /// When the enclave began to serve.
    pub(crate) began: Instant,
}

impl Reporter {
    /// Reports until it is dropped: one report at a time, for one that is not taken in time is late.
    pub(crate) async fn report_to(self, host: HostServices) {
        let mut ticks = interval(REPORT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _ = host.metrics(&self.metrics()).await;
        }
    }

    fn metrics(&self) -> EnclaveMetrics {
        let counts = self.events.counts();
        EnclaveMetrics {
            uptime_s: self.began.elapsed().as_secs(),
            calls_answered: counts.answered.load(Relaxed),
            refused: counts.refused(),
            admitted: counts.admitted.load(Relaxed),
            calls_in_progress: self.receipts.calls_in_progress(),
            open_connections: self.occupancy.open(),
            connections_refused: self.occupancy.refused(),
            receipts_waiting: self.receipts.waiting(),
            receipts_lost: self.receipts.lost(),
            events_lost: self.events.lost(),
            resident_bytes: memory::resident_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
