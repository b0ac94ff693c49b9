//! Chains that need not be verified again.
//!
//! A signature over a certificate stays what it is; what changes is the time. So an entry says only
//! that these certificates, to the byte, lead to that root. Validity, key usage and all the rest are
//! judged again each time ([`crate::chain::Chain::read`]), and so is the document's own signature.
use core::time::Duration;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{anchors::AnchorIndex, chain::ChainId};

/// How many verified chains a [`Verifier`](crate::Verifier) remembers, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainCacheLimits {
    /// The most chains. One takes about 100 bytes. An enclave has one chain at a time.
    pub max_chains: usize,
    /// The longest time for which a chain is not verified again, by the times that the caller
    /// gives. It is never taken for valid outside of its own validity.
    pub max_life: Duration,
}

impl Default for ChainCacheLimits {
    /// 64 chains, for an hour. The signing certificates of AWS live three hours.
    fn default() -> Self {
        Self {
            max_chains: 64,
            max_life: Duration::from_secs(3600),
        }
    }
}

/// Belongs to one verifier, so to one set of anchors and one implementation of signatures.
///
/// Only accepted documents put a chain in: what strangers send evicts nothing.
#[derive(Debug)]
pub(crate) struct ChainCache {
    limits: ChainCacheLimits,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_chain: BTreeMap<ChainId, Entry>,
    /// Counts uses, to know which entry was used last.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    root: AnchorIndex,
    verified_at_s: u64,
    used: u64,
}

impl ChainCache {
    pub(crate) fn new(limits: ChainCacheLimits) -> Self {
        Self {
            limits,
            entries: Mutex::default(),
        }
    }

    /// The root to which this chain leads, if it was verified at about this time.
    pub(crate) fn root_of(&self, chain: &ChainId, now_s: u64) -> Option<AnchorIndex> {
        let mut entries = self.lock();
        entries.uses += 1;
        let used = entries.uses;
        let entry = entries.by_chain.get_mut(chain)?;
        if !self.lives(entry, now_s) {
            return None;
        }
        entry.used = used;
        Some(entry.root)
    }

    /// Remembers a chain that was verified now.
    pub(crate) fn insert(&self, chain: ChainId, root: AnchorIndex, now_s: u64) {
        if self.limits.max_chains == 0 {
            return;
        }
        let mut entries = self.lock();
        entries.uses += 1;
        let used = entries.uses;
        if !entries.by_chain.contains_key(&chain)
            && entries.by_chain.len() >= self.limits.max_chains
        {
            entries.by_chain.retain(|_, entry| self.lives(entry, now_s));
            if entries.by_chain.len() >= self.limits.max_chains {
                entries.remove_least_recent();
            }
        }
        let entry = Entry {
            root,
            verified_at_s: now_s,
            used,
        };
        entries.by_chain.insert(chain, entry);
    }

    /// A clock may go back as well: then a chain from the future is verified again, too.
    fn lives(&self, entry: &Entry, now_s: u64) -> bool {
        now_s.abs_diff(entry.verified_at_s) <= self.limits.max_life.as_secs()
    }

    /// A thread that panicked left whole entries behind: each is inserted in one step.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove_least_recent(&mut self) {
        let oldest = self.by_chain.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.by_chain.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: AnchorIndex = AnchorIndex(0);

    fn cache(max_chains: usize) -> ChainCache {
        ChainCache::new(ChainCacheLimits {
            max_chains,
            max_life: Duration::from_secs(60),
        })
    }

    fn len(cache: &ChainCache) -> usize {
        cache.lock().by_chain.len()
    }

    #[test]
    fn an_entry_lives_as_long_as_it_may_in_both_directions() {
        let cache = cache(2);
        cache.insert([1; 48], AnchorIndex(7), 1000);
        for (now_s, found) in [
            (1000, true),
            (1060, true),
            (1061, false),
            (940, true),
            (939, false),
            (0, false),
            (u64::MAX, false),
        ] {
            let root = cache.root_of(&[1; 48], now_s);
            assert_eq!(root, found.then_some(AnchorIndex(7)), "{now_s}");
        }
        assert_eq!(cache.root_of(&[2; 48], 1000), None);
        // Use does not prolong it; verification does.
        cache.insert([1; 48], ROOT, 1061);
        assert_eq!(cache.root_of(&[1; 48], 1121), Some(ROOT));
        assert_eq!(len(&cache), 1);
    }

    #[test]
    fn a_full_cache_drops_the_dead_then_the_least_recently_used() {
        let cache = cache(2);
        cache.insert([1; 48], ROOT, 1000);
        cache.insert([2; 48], ROOT, 1050);
        // The first is dead by now, although it was used last.
        assert_eq!(cache.root_of(&[1; 48], 1001), Some(ROOT));
        cache.insert([3; 48], ROOT, 1100);
        assert_eq!(cache.root_of(&[1; 48], 1050), None);
        assert_eq!(cache.root_of(&[2; 48], 1100), Some(ROOT));
        // All live: the third was used before the second.
        cache.insert([4; 48], ROOT, 1100);
        assert_eq!(cache.root_of(&[3; 48], 1100), None);
        assert_eq!(cache.root_of(&[2; 48], 1100), Some(ROOT));
        assert_eq!(cache.root_of(&[4; 48], 1100), Some(ROOT));
        assert_eq!(len(&cache), 2);
    }

    #[test]
    fn a_cache_of_no_chains_holds_none() {
        let cache = cache(0);
        cache.insert([1; 48], ROOT, 1000);
        assert_eq!(cache.root_of(&[1; 48], 1000), None);
        assert_eq!(len(&cache), 0);
    }
}
