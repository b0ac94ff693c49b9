//! Events of the enclave: checked, bounded, and written by a thread of their own, so that a slow
//! log holds nothing up.
use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use crate::metrics::Metrics;

/// The largest event; longer ones are dropped.
pub const MAX_EVENT_BYTES: usize = 4 * 1024;
/// The largest batch of events.
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Events that wait to be written; further ones are dropped.
const QUEUE_EVENTS: usize = 1024;

/// One event, and whose.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    enclave: String,
    json: String,
}

/// Takes events, and never waits.
pub struct Events {
    queue: SyncSender<Event>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts the thread that writes events to the log, under the target `enclave`.
    pub fn to_log(metrics: Arc<Metrics>) -> io::Result<Self> {
        let (events, queue) = Self::queue(metrics);
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                while let Ok(event) = queue.recv() {
                    let Event { enclave, json } = event;
                    tracing::info!(target: "enclave", enclave, "{json}");
                }
            })?;
        Ok(events)
    }

    fn queue(metrics: Arc<Metrics>) -> (Self, Receiver<Event>) {
        let (sender, receiver) = sync_channel(QUEUE_EVENTS);
        let events = Self {
            queue: sender,
            metrics,
        };
        (events, receiver)
    }

    /// Takes a batch of an enclave: one JSON object per line. What is malformed or too much is
    /// counted.
    pub fn take(&self, enclave: &str, batch: &[u8]) {
        for line in batch.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            let event = parse(line).map(|json| Event {
                enclave: enclave.to_owned(),
                json,
            });
            let queued = event.is_some_and(|event| self.queue.try_send(event).is_ok());
            Metrics::add(if queued {
                &self.metrics.events
            } else {
                &self.metrics.events_dropped
            });
        }
    }
}

/// An object, serialized anew: one line, with every control character escaped.
fn parse(line: &[u8]) -> Option<String> {
    if line.len() > MAX_EVENT_BYTES {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
    serde_json::to_string(&object).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn objects_pass_and_all_else_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let (events, queue) = Events::queue(Arc::clone(&metrics));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_EVENT_BYTES));
        let batch = format!("{{\"event\": \"ready\"}}\n\n[1]\nnot json\n\"text\"\n{long}\n{{}}");
        events.take("a", batch.as_bytes());
        let taken = ["{\"event\":\"ready\"}", "{}"].map(|json| Event {
            enclave: "a".to_owned(),
            json: json.to_owned(),
        });
        assert_eq!(queue.try_iter().collect::<Vec<_>>(), taken);
        assert_eq!(metrics.events.load(Ordering::Relaxed), 2);
        assert_eq!(metrics.events_dropped.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_log_that_nobody_reads_blocks_nothing() {
        let metrics = Arc::new(Metrics::default());
        let (events, _queue) = Events::queue(Arc::clone(&metrics));
        events.take("a", "{}\n".repeat(QUEUE_EVENTS + 7).as_bytes());
        assert_eq!(metrics.events_dropped.load(Ordering::Relaxed), 7);
    }
}
