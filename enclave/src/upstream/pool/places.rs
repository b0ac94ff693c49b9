//! Places for idle connections, shared fairly: no owner's calls can take those of another's.
//!
//! A connection that was just used always gets one. What gives way is the longest idle, of whoever
//! has too many: the pool key, else the owner, else the owner with the most places.
use std::{cmp::Reverse, collections::HashMap};

use tokio::time::Instant;

use super::{PoolKey, PoolOwner};

/// How many places there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// In all.
    pub(super) all: usize,
    /// For the connections of one owner.
    pub(super) per_owner: usize,
    /// For the connections of one key.
    pub(super) per_key: usize,
}

/// Connections that are in no use.
pub(super) struct Places<C> {
    capacity: Capacity,
    /// Of each owner at least one, the longest idle first.
    owners: HashMap<PoolOwner, Vec<Idle<C>>>,
    taken: usize,
}

struct Idle<C> {
    key: PoolKey,
    connection: C,
    since: Instant,
}

impl<C> Places<C> {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            owners: HashMap::new(),
            taken: 0,
        }
    }

    /// Takes out the connection of `key` that was used last, and since when it was idle.
    pub(super) fn take(&mut self, key: &PoolKey) -> Option<(C, Instant)> {
        let at = self.of(&key.owner).iter().rposition(|i| i.key == *key)?;
        let idle = self.remove(&key.owner, at)?;
        Some((idle.connection, idle.since))
    }

    /// Puts a connection of `key` in, and returns what gave way to it.
    pub(super) fn put(&mut self, key: PoolKey, connection: C, now: Instant) -> Option<C> {
        let gave_way = self.make_room(&key);
        let idle = Idle {
            key,
            connection,
            since: now,
        };
        let of_owner = self.owners.entry(idle.key.owner.clone()).or_default();
        of_owner.push(idle);
        self.taken += 1;
        gave_way.map(|idle| idle.connection)
    }

    /// Takes out all but what `keeps` says, by the connection and since when it was idle.
    pub(super) fn sweep(&mut self, keeps: impl Fn(&C, Instant) -> bool) -> Vec<C> {
        let mut swept = Vec::new();
        self.owners.retain(|_, of_owner| {
            let leaving = of_owner.extract_if(.., |idle| !keeps(&idle.connection, idle.since));
            swept.extend(leaving.map(|idle| idle.connection));
            !of_owner.is_empty()
        });
        self.taken -= swept.len();
        swept
    }

    fn make_room(&mut self, key: &PoolKey) -> Option<Idle<C>> {
        let of_owner = self.of(&key.owner);
        let mut of_key = (0..).zip(of_owner).filter(|(_, idle)| idle.key == *key);
        let longest = of_key.next().map(|(at, _)| at);
        if let Some(at) = longest
            && of_key.count() + 1 >= self.capacity.per_key
        {
            return self.remove(&key.owner, at);
        }
        if of_owner.len() >= self.capacity.per_owner {
            return self.remove(&key.owner, 0);
        }
        if self.taken < self.capacity.all {
            return None;
        }
        match self.fullest() {
            Some((owner, places)) if places > of_owner.len() => {
                let owner = owner.clone();
                self.remove(&owner, 0)
            }
            _ => self.remove(&key.owner, 0),
        }
    }

    /// The owner with the most places; of several, the one whose connection is idle the longest.
    fn fullest(&self) -> Option<(&PoolOwner, usize)> {
        let since = |of_owner: &Vec<Idle<C>>| of_owner.first().map(|idle| idle.since);
        self.owners
            .iter()
            .max_by_key(|(_, of_owner)| (of_owner.len(), Reverse(since(of_owner))))
            .map(|(owner, of_owner)| (owner, of_owner.len()))
    }

    fn of(&self, owner: &PoolOwner) -> &[Idle<C>] {
        self.owners.get(owner).map_or(&[], Vec::as_slice)
    }

    fn remove(&mut self, owner: &PoolOwner, at: usize) -> Option<Idle<C>> {
        let of_owner = self.owners.get_mut(owner)?;
        let idle = (at < of_owner.len()).then(|| of_owner.remove(at));
        if of_owner.is_empty() {
            self.owners.remove(owner);
        }
        self.taken -= usize::from(idle.is_some());
        idle
    }
}

#[cfg(test)]
mod tests;
