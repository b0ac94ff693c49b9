//! Receipts of calls: one for each call whose record was opened, however it ends.
//!
//! A call keeps an [`Account`] from then on. When its reply has ended, or is dropped, a small struct
//! goes into a bounded queue; the rest happens off the call's path. A task gives each receipt its
//! place in the boot's chain (module `chain`), signs, and hands batches to the parent (module
//! `delivery`).
//!
//! A parent that does not take receipts holds up no call. What the queue has no room for is lost,
//! and counted; what the parent throws away is missing in its places. Both the owner sees: in the
//! ordinals of a connection, in the sequence of the boot, and in the marks of the others.
mod account;
mod chain;
mod delivery;
mod entry;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use dauth_protocol::Code;
use tokio::sync::mpsc;

pub use account::{Account, Arrival};
pub use delivery::Delivery;
pub(crate) use entry::Subject;

use chain::Chain;
use entry::Entry;

use crate::{
    authorize::RandomnessError, bounded_map::BoundedMap, event::Events, host::HostServices,
    keyset::Keeper, open::ConnectionName, refusal::Refusal,
};

/// Receipts that wait for the task.
const QUEUE_RECEIPTS: usize = 8192;
/// Connections whose calls are counted at a time: about 150 bytes each.
const MAX_CONNECTIONS: usize = 1 << 16;

/// Opens receipts, and takes them when they are complete, without ever blocking.
#[derive(Clone)]
pub struct Receipts(Arc<Ledger>);

struct Ledger {
    /// How many calls of a connection there were.
    ordinals: Mutex<BoundedMap<ConnectionName, u64>>,
    queue: mpsc::Sender<Entry>,
    lost: Arc<AtomicU64>,
    events: Events,
}

impl Receipts {
    /// Starts a chain and hands over what comes to be in it.
    pub fn start(
        keeper: Keeper,
        host: HostServices,
        events: Events,
    ) -> Result<(Self, Delivery), RandomnessError> {
        Self::start_with(QUEUE_RECEIPTS, keeper, host, events)
    }

    fn start_with(
        queued: usize,
        keeper: Keeper,
        host: HostServices,
        events: Events,
    ) -> Result<(Self, Delivery), RandomnessError> {
        let chain = Chain::begin(random()?.into());
        let (queue, waiting) = mpsc::channel(queued);
        let lost = Arc::new(AtomicU64::new(0));
        let delivery = Delivery::start(delivery::Parts {
            keeper,
            host,
            events: events.clone(),
            chain,
            waiting,
            lost: Arc::clone(&lost),
        });
        let receipts = Self(Arc::new(Ledger {
            ordinals: Mutex::new(BoundedMap::new(MAX_CONNECTIONS)),
            queue,
            lost,
            events,
        }));
        Ok((receipts, delivery))
    }

    /// Opens the receipt of a call: it will be there, whatever becomes of the call.
    pub(crate) fn open(&self, subject: Subject, arrival: Arrival) -> Result<Account, Refusal> {
        let id = random().map_err(|RandomnessError| NO_RANDOMNESS)?;
        Ok(Account::open(self.clone(), id.into(), subject, arrival))
    }

    /// Takes a complete receipt. It is lost and counted when too many wait.
    fn note(&self, mut entry: Entry) {
        // Under one lock, so that a connection's ordinals grow along the chain.
        let mut ordinals = self.ordinals();
        let connection = entry.subject.connection;
        entry.ordinal = ordinals.get(&connection).map_or(1, |last| last + 1);
        ordinals.insert(connection, entry.ordinal);
        if self.0.queue.try_send(entry).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn events(&self) -> &Events {
        &self.0.events
    }

    fn ordinals(&self) -> MutexGuard<'_, BoundedMap<ConnectionName, u64>> {
        let ordinals = self.0.ordinals.lock();
        ordinals.unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_RANDOMNESS: Refusal =
    Refusal::new(Code::EnclaveUnavailable, "the source of randomness failed");

fn random() -> Result<[u8; 16], RandomnessError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
