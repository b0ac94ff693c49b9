//! Each proof passes once (RFC 9449 section 11.1).
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

const SHARDS: usize = 64;

/// How much a [`ReplayCache`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Live entries in all. They are counted over all shards: a client chooses its `jti`, so it can
    /// aim at one shard, and fills no more than its quota there either.
    pub entries: usize,
    /// Live entries of one quota.
    pub entries_per_quota: usize,
}

/// Why a proof does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It has passed before.
    #[error("the DPoP proof was used before")]
    Replayed,
    /// Nothing more can be remembered. Live entries are never dropped to make room: that would let
    /// a flood reopen the door to a replay.
    #[error("too many DPoP proofs are in use")]
    Full,
    /// The quota is used up.
    #[error("too many DPoP proofs of this key are in use")]
    Quota,
    /// Its time is over, so it could not be remembered long enough.
    #[error("the DPoP proof's time is over")]
    Expired,
}

/// Remembers proofs until they would no longer verify. In memory, sharded, bounded.
///
/// Put a proof in only after its token has verified, so that strangers cannot fill the cache.
pub struct ReplayCache {
    entries: Vec<Mutex<Entries>>,
    quotas: Vec<Mutex<Quotas>>,
    /// Entries of all shards.
    count: AtomicUsize,
    /// When all shards were last rid of what had expired.
    swept_s: AtomicU64,
    max_entries: usize,
    entries_per_quota: usize,
}

/// Each is a SHA-256, or a key thumbprint.
type Id = [u8; 32];

#[derive(Default)]
struct Entries {
    live: HashSet<Id>,
    by_expiry: BTreeMap<u64, Vec<Id>>,
    latest_now_s: u64,
}

#[derive(Default)]
struct Quotas {
    live: HashMap<Id, usize>,
    by_expiry: BTreeMap<u64, HashMap<Id, usize>>,
}

impl ReplayCache {
    /// An empty cache.
    pub fn new(limits: ReplayLimits) -> Self {
        Self {
            entries: (0..SHARDS).map(|_| Mutex::default()).collect(),
            quotas: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            swept_s: AtomicU64::new(0),
            max_entries: limits.entries,
            entries_per_quota: limits.entries_per_quota,
        }
    }

    /// Lets `key` pass if it has not passed before, and remembers it up to and including the second
    /// `expires_s`. Of any number of concurrent calls with one key exactly one succeeds.
    ///
    /// `quota_id` is whose quota it counts against: the thumbprint of the proof's key, for example.
    pub fn insert(
        &self,
        key: [u8; 32],
        quota_id: [u8; 32],
        expires_s: u64,
        now_s: u64,
    ) -> Result<(), ReplayError> {
        self.sweep(now_s);
        // A lock is held over both checks: of entries first, then of quotas, never the other way.
        let mut entries = lock(shard(&self.entries, &key));
        let now_s = entries.advance(now_s, &self.count);
        if expires_s < now_s {
            return Err(ReplayError::Expired);
        }
        if entries.live.contains(&key) {
            return Err(ReplayError::Replayed);
        }
        self.take_room()?;
        let mut quotas = lock(shard(&self.quotas, &quota_id));
        if let Err(error) = quotas.take(quota_id, expires_s, now_s, self.entries_per_quota) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        entries.live.insert(key);
        entries.by_expiry.entry(expires_s).or_default().push(key);
        Ok(())
    }

    /// Counts one more entry, within the bound.
    fn take_room(&self) -> Result<(), ReplayError> {
        let more = |count: usize| (count < self.max_entries).then_some(count + 1);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map(drop)
            .map_err(|_| ReplayError::Full)
    }

    /// Rids every shard of what has expired, once a second: what nobody asks for again would
    /// take room from others. Holds one lock at a time, and none before.
    fn sweep(&self, now_s: u64) {
        if self.swept_s.fetch_max(now_s, Ordering::Relaxed) >= now_s {
            return;
        }
        for shard in &self.entries {
            lock(shard).advance(now_s, &self.count);
        }
        for shard in &self.quotas {
            lock(shard).forget_expired(now_s);
        }
    }

    /// How many entries are remembered, for metrics; some may have expired.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entries {
    /// Forgets what has expired. Time never goes back here: an entry that was forgotten must not
    /// become acceptable again when the clock is set back.
    fn advance(&mut self, now_s: u64, count: &AtomicUsize) -> u64 {
        self.latest_now_s = self.latest_now_s.max(now_s);
        while let Some(expired) = self.by_expiry.first_entry() {
            if *expired.key() >= self.latest_now_s {
                break;
            }
            for key in expired.remove() {
                if self.live.remove(&key) {
                    count.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        self.latest_now_s
    }
}

impl Quotas {
    fn take(
        &mut self,
        quota_id: Id,
        expires_s: u64,
        now_s: u64,
        max: usize,
    ) -> Result<(), ReplayError> {
        self.forget_expired(now_s);
        let count = self.live.get(&quota_id).copied().unwrap_or(0);
        if count >= max {
            return Err(ReplayError::Quota);
        }
        self.live.insert(quota_id, count + 1);
        let expiring = self.by_expiry.entry(expires_s).or_default();
        *expiring.entry(quota_id).or_insert(0) += 1;
        Ok(())
    }

    fn forget_expired(&mut self, now_s: u64) {
        while let Some(expired) = self.by_expiry.first_entry() {
            if *expired.key() >= now_s {
                break;
            }
            for (quota_id, count) in expired.remove() {
                let left = self
                    .live
                    .get(&quota_id)
                    .map_or(0, |live| live.saturating_sub(count));
                if left == 0 {
                    self.live.remove(&quota_id);
                } else {
                    self.live.insert(quota_id, left);
                }
            }
        }
    }
}

fn shard<'a, T>(shards: &'a [Mutex<T>], id: &Id) -> &'a Mutex<T> {
    // The id is a hash, so its first byte spreads evenly, unless a client aims: that costs time for
    // the lock, and no room. SHARDS is not zero.
    let [first, ..] = *id;
    &shards[usize::from(first) % SHARDS]
}

/// A poisoned shard is still consistent: nothing in a critical section panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
