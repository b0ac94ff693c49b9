//! What the enclave tells its operator: an enumerated set of events with typed fields.
//!
//! There is no free text, so no secret, token or upstream's words can slip in. A parent that does
//! not read loses events, which are counted; it never blocks a call.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dauth_protocol::{Code, Handle};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{host::HostServices, reencrypt::NotReencrypted};

/// Events that wait for the parent.
const QUEUE_EVENTS: usize = 1024;
/// Events handed over in one request.
const BATCH_EVENTS: usize = 128;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The enclave serves.
    Ready {
        /// Hexadecimal keyset id.
        keyset: String,
        /// The keyset's generation.
        generation: u64,
        /// Whether memory is locked.
        memory_locked: bool,
    },
    /// A credential was admitted.
    Admitted {
        /// The connection.
        handle: Handle,
        /// Its version.
        version: u64,
    },
    /// A call was answered by its upstream.
    Called {
        /// The connection.
        handle: Handle,
        /// `DAuth-Receipt-Id` of the reply.
        receipt: String,
        /// The upstream's status.
        status: u16,
        /// Time to the head of the reply, in microseconds.
        micros: u64,
    },
    /// The vault has a connection's record under the current record key.
    Reencrypted {
        /// The connection.
        handle: Handle,
    },
    /// It has not; the record that it has stays good.
    NotReencrypted {
        /// The connection.
        handle: Handle,
        /// Why.
        reason: NotReencrypted,
    },
    /// A request was refused.
    Refused {
        /// Why.
        code: Code,
        /// A constant of this program.
        detail: &'static str,
    },
    /// The clock and the Nitro Secure Module disagree; nothing is served until they agree.
    ClockDisagrees {
        /// Seconds between them.
        difference_s: u64,
    },
    /// Events were lost because the parent did not read.
    Dropped {
        /// How many, since boot.
        total: u64,
    },
}

/// Takes events without ever blocking.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    /// Starts handing events over to the parent.
    pub fn start(host: HostServices) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_EVENTS);
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(forward(host, waiting, Arc::clone(&dropped)));
        Self { queue, dropped }
    }

    /// Notes an event; it is lost and counted when too many wait.
    pub fn note(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn forward(host: HostServices, mut waiting: mpsc::Receiver<Event>, dropped: Arc<AtomicU64>) {
    let mut batch = Vec::with_capacity(BATCH_EVENTS);
    let mut told = 0;
    while waiting.recv_many(&mut batch, BATCH_EVENTS).await > 0 {
        let total = dropped.load(Ordering::Relaxed);
        if total != told {
            batch.push(Event::Dropped { total });
            told = total;
        }
        let mut lines = Vec::new();
        for event in batch.drain(..) {
            if serde_json::to_writer(&mut lines, &event).is_ok() {
                lines.push(b'\n');
            }
        }
        if host.events(lines).await.is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
