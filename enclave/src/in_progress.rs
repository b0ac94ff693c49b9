//! Calls in progress, of which no owner may have all.
//!
//! A call holds a tunnel through the parent, and an upstream of its owner's choice may answer as
//! late as the policy lets it. So an owner has a share; who has used it up waits for its own calls.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dauth_protocol::{Code, Owner};

use crate::refusal::Refusal;

/// As many as there may be: somewhat fewer than the parent has tunnels.
pub(crate) const CALLS: Share = Share {
    all: 3_500,
    per_owner: 1_024,
};

const OWNERS_SHARE: Refusal = Refusal::new(
    Code::LimitExceeded,
    "too many calls of this owner are in progress",
);
const ALL: Refusal = Refusal::new(Code::EnclaveUnavailable, "too many calls are in progress");

/// How many calls there may be at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// In all.
    pub(crate) all: usize,
    /// Of one owner.
    pub(crate) per_owner: usize,
}

/// The calls in progress.
#[derive(Clone)]
pub(crate) struct InProgress {
    share: Share,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    /// Of those that have any.
    by_owner: HashMap<Name, usize>,
}

/// Issuer and subject.
type Name = (String, String);

/// One call; however it ends, dropping this makes room for another.
pub(crate) struct Place {
    counts: Arc<Mutex<Counts>>,
    owner: Name,
}

impl InProgress {
    /// None yet.
    pub(crate) fn new(share: Share) -> Self {
        Self {
            share,
            counts: Arc::default(),
        }
    }

    /// A call of `owner` begins, if there is room for it.
    pub(crate) fn begin(&self, owner: &Owner) -> Result<Place, Refusal> {
        let mut counts = lock(&self.counts);
        if counts.all >= self.share.all {
            return Err(ALL);
        }
        let owner = (owner.issuer.clone(), owner.subject.clone());
        let of_owner = counts.by_owner.entry(owner.clone()).or_default();
        if *of_owner >= self.share.per_owner {
            return Err(OWNERS_SHARE);
        }
        *of_owner += 1;
        counts.all += 1;
        drop(counts);
        Ok(Place {
            counts: Arc::clone(&self.counts),
            owner,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_owner) = counts.by_owner.get_mut(&self.owner) {
            *of_owner = of_owner.saturating_sub(1);
            if *of_owner == 0 {
                counts.by_owner.remove(&self.owner);
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str) -> Owner {
        Owner {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            thumbprint: "thumbprint".to_owned(),
        }
    }

    fn code(begun: Result<Place, Refusal>) -> Option<Code> {
        begun.err().map(|refusal| refusal.code)
    }

    #[test]
    fn an_owner_that_has_its_share_leaves_room_for_others() {
        let calls = InProgress::new(Share {
            all: 3,
            per_owner: 2,
        });
        let first = calls.begin(&owner("a")).ok().unwrap();
        let second = calls.begin(&owner("a")).ok().unwrap();
        assert_eq!(code(calls.begin(&owner("a"))), Some(Code::LimitExceeded));
        let other = calls.begin(&owner("b")).ok().unwrap();
        let full = Some(Code::EnclaveUnavailable);
        assert_eq!(code(calls.begin(&owner("c"))), full);
        drop(first);
        assert_eq!(code(calls.begin(&owner("a"))), None);
        drop((second, other));
        let counts = lock(&calls.counts);
        assert_eq!((counts.all, counts.by_owner.len()), (0, 0));
    }
}
