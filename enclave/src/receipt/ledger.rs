//! What calls and the task share: the queue, and the counts that go with it.
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dauth_protocol::Owner;
use tokio::sync::{mpsc, watch};

use super::Entry;
use crate::{bounded_map::BoundedMap, open::ConnectionName};

/// Connections whose calls are counted at a time: about 150 bytes each.
pub(super) const MAX_CONNECTIONS: usize = 1 << 16;
/// Of the queue one owner may have this part, so that nobody's flood loses others' receipts.
const SHARE: usize = 8;

/// Takes the receipts of calls that have ended, without blocking.
pub(super) struct Ledger {
    counts: Mutex<Counts>,
    queue: mpsc::Sender<Entry>,
    /// Calls under way.
    open: watch::Sender<usize>,
    max_per_owner: usize,
    owners: RandomState,
}

pub(super) struct Counts {
    /// How many calls of a connection there were.
    pub(super) ordinals: BoundedMap<ConnectionName, u64>,
    /// How many receipts of an owner are in the queue, by a keyed hash.
    waiting: HashMap<u64, usize>,
    /// How many the parent has not taken yet: those in the queue, and those on their way.
    undelivered: u64,
    lost: u64,
}

impl Ledger {
    /// A ledger and the queue's end, for so many receipts.
    pub(super) fn new(room: usize) -> (Self, mpsc::Receiver<Entry>) {
        let (queue, waiting) = mpsc::channel(room);
        let ledger = Self {
            counts: Mutex::new(Counts {
                ordinals: BoundedMap::new(MAX_CONNECTIONS),
                waiting: HashMap::new(),
                undelivered: 0,
                lost: 0,
            }),
            queue,
            open: watch::Sender::new(0),
            max_per_owner: room.div_ceil(SHARE),
            owners: RandomState::new(),
        };
        (ledger, waiting)
    }

    /// A call is under way, and will be noted.
    pub(super) fn expect(&self) {
        self.open.send_modify(|open| *open += 1);
    }

    /// Resolves when no call is under way.
    pub(super) async fn all_noted(&self) {
        let mut open = self.open.subscribe();
        // The sender is here.
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// Takes the receipt of a call that was expected. It is lost and counted when too many wait.
    pub(super) fn note(&self, mut entry: Entry) {
        let owner = self.owner(&entry.subject.owner);
        let connection = entry.subject.connection;
        // One lock for all of it, so that a connection's ordinals grow along the chain.
        let mut counts = self.counts();
        entry.ordinal = counts.ordinals.get(&connection).map_or(1, |last| last + 1);
        counts.ordinals.insert(connection, entry.ordinal);
        let has_room = counts
            .waiting
            .get(&owner)
            .is_none_or(|waiting| *waiting < self.max_per_owner);
        if has_room && self.queue.try_send(entry).is_ok() {
            *counts.waiting.entry(owner).or_default() += 1;
            counts.undelivered += 1;
        } else {
            counts.lost += 1;
        }
        drop(counts);
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }

    /// These have left the queue.
    pub(super) fn taken(&self, entries: &[Entry]) {
        let mut counts = self.counts();
        for entry in entries {
            let owner = self.owner(&entry.subject.owner);
            if let Some(waiting) = counts.waiting.get_mut(&owner) {
                *waiting -= 1;
                if *waiting == 0 {
                    counts.waiting.remove(&owner);
                }
            }
        }
    }

    /// The parent has so many of them, or will never have them.
    pub(super) fn delivered(&self, count: u64) {
        let mut counts = self.counts();
        counts.undelivered = counts.undelivered.saturating_sub(count);
    }

    /// How many the parent has not taken yet.
    pub(super) fn undelivered(&self) -> u64 {
        self.counts().undelivered
    }

    /// How many calls are under way.
    pub(super) fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// How many were lost since boot.
    pub(super) fn lost(&self) -> u64 {
        self.counts().lost
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self, owner: &Owner) -> u64 {
        self.owners.hash_one((&owner.issuer, &owner.subject))
    }
}
