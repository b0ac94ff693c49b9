//! Each proof passes once (RFC 9449 section 11.1).
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 64;

/// How much a [`ReplayCache`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Live entries in all. Divided among the shards, so that one shard may be full a little
    /// before all are.
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
    entries_per_shard: usize,
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
            entries_per_shard: limits.entries.div_ceil(SHARDS).max(1),
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
        // A lock is held over both checks: of entries first, then of quotas, never the other way.
        let mut entries = lock(shard(&self.entries, &key));
        let now_s = entries.advance(now_s);
        if expires_s < now_s {
            return Err(ReplayError::Expired);
        }
        if entries.live.contains(&key) {
            return Err(ReplayError::Replayed);
        }
        if entries.live.len() >= self.entries_per_shard {
            return Err(ReplayError::Full);
        }
        lock(shard(&self.quotas, &quota_id)).take(
            quota_id,
            expires_s,
            now_s,
            self.entries_per_quota,
        )?;
        entries.live.insert(key);
        entries.by_expiry.entry(expires_s).or_default().push(key);
        Ok(())
    }

    /// How many entries are remembered, for metrics; some may have expired.
    pub fn len(&self) -> usize {
        self.entries
            .iter()
            .map(|shard| lock(shard).live.len())
            .sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entries {
    /// Forgets what has expired. Time never goes back here: an entry that was forgotten must not
    /// become acceptable again when the clock is set back.
    fn advance(&mut self, now_s: u64) -> u64 {
        self.latest_now_s = self.latest_now_s.max(now_s);
        while let Some(expired) = self.by_expiry.first_entry() {
            if *expired.key() >= self.latest_now_s {
                break;
            }
            for key in expired.remove() {
                self.live.remove(&key);
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
    // The id is a hash, so its first byte spreads evenly. SHARDS is not zero.
    let [first, ..] = *id;
    &shards[usize::from(first) % SHARDS]
}

/// A poisoned shard is still consistent: nothing in a critical section panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> [u8; 32] {
        crate::access_token::sha256(&n.to_be_bytes())
    }

    fn cache(entries: usize, entries_per_quota: usize) -> ReplayCache {
        ReplayCache::new(ReplayLimits {
            entries,
            entries_per_quota,
        })
    }

    #[test]
    fn a_key_passes_once_until_it_has_expired() {
        let cache = cache(1000, 10);
        assert_eq!(cache.insert(id(1), id(0), 60, 0), Ok(()));
        assert_eq!(
            cache.insert(id(1), id(0), 60, 60),
            Err(ReplayError::Replayed)
        );
        assert_eq!(
            cache.insert(id(2), id(0), 60, 61),
            Err(ReplayError::Expired)
        );
        assert_eq!(cache.insert(id(1), id(0), 130, 61), Ok(()));
    }

    #[test]
    fn a_clock_set_back_reopens_nothing() {
        let cache = cache(SHARDS, 10);
        let same_shard = |n| {
            let mut key = id(n);
            key[0] = 0;
            key
        };
        assert_eq!(cache.insert(same_shard(1), id(0), 60, 0), Ok(()));
        assert_eq!(cache.insert(same_shard(2), id(0), 200, 100), Ok(()));
        assert_eq!(
            cache.insert(same_shard(1), id(0), 60, 0),
            Err(ReplayError::Expired)
        );
    }

    #[test]
    fn exactly_one_of_a_hundred_at_once_passes() {
        let cache = cache(100_000, 1000);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..100)
                .map(|_| scope.spawn(|| usize::from(cache.insert(id(7), id(0), 60, 0).is_ok())))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(passed, 1);
    }

    #[test]
    fn full_refuses_and_evicts_no_live_entry() {
        let cache = cache(SHARDS * 4, usize::MAX);
        assert_eq!(cache.insert(id(0), id(0), 60, 0), Ok(()));
        let refused = (1..10_000).filter(|n| cache.insert(id(*n), id(*n), 60, 0).is_err());
        assert_eq!(refused.count(), 10_000 - SHARDS * 4);
        assert_eq!(
            cache.insert(id(0), id(0), 60, 0),
            Err(ReplayError::Replayed)
        );
        assert_eq!(
            cache.insert(id(10_001), id(0), 60, 0),
            Err(ReplayError::Full)
        );
        assert_eq!(cache.insert(id(10_001), id(0), 90, 61), Ok(()));
    }

    #[test]
    fn a_quota_starves_nobody_else() {
        let cache = cache(100_000, 5);
        let flood = (0..100).filter(|n| cache.insert(id(*n), id(1), 60, 0).is_ok());
        assert_eq!(flood.count(), 5);
        assert_eq!(cache.insert(id(200), id(1), 60, 0), Err(ReplayError::Quota));
        assert_eq!(cache.insert(id(200), id(2), 60, 0), Ok(()));
        assert_eq!(
            cache.insert(id(201), id(1), 120, 61),
            Ok(()),
            "expired ones do not count"
        );
    }

    #[test]
    fn forgets_all_in_the_end() {
        let cache = cache(100_000, 1000);
        for n in 0..1000 {
            cache.insert(id(n), id(n), 60, 0).unwrap();
        }
        for n in 1000..3000 {
            cache.insert(id(n), id(n), 160, 100).unwrap();
        }
        assert_eq!(cache.len(), 2000);
        let quotas: usize = cache.quotas.iter().map(|q| lock(q).live.len()).sum();
        assert_eq!(quotas, 2000);
    }
}
