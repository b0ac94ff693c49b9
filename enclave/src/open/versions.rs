//! The highest version of each connection seen since boot.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dauth_protocol::{Handle, Owner};
use sha2::{Digest, Sha256};

/// Connections that are remembered at a time: about 150 bytes each.
const MAX_CONNECTIONS: usize = 1 << 16;

/// Remembers versions, so that a vault cannot serve an old record after a newer one was used.
///
/// Beyond its bound the connection first seen longest ago is forgotten. That weakens a second line
/// of defence: the first is the fingerprint in the token.
#[derive(Default)]
pub struct Versions(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    highest: HashMap<[u8; 32], u64>,
    by_age: VecDeque<[u8; 32]>,
}

impl Versions {
    /// The highest version used, if any.
    pub fn highest(&self, owner: &Owner, handle: &Handle) -> Option<u64> {
        self.lock().highest.get(&name(owner, handle)).copied()
    }

    /// Notes that a version is used; false, if a higher one was used before.
    pub(crate) fn note(&self, owner: &Owner, handle: &Handle, version: u64) -> bool {
        let name = name(owner, handle);
        let mut seen = self.lock();
        if let Some(highest) = seen.highest.get_mut(&name) {
            let is_current = version >= *highest;
            *highest = version.max(*highest);
            return is_current;
        }
        if seen.by_age.len() >= MAX_CONNECTIONS
            && let Some(oldest) = seen.by_age.pop_front()
        {
            seen.highest.remove(&oldest);
        }
        seen.highest.insert(name, version);
        seen.by_age.push_back(name);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash, since subjects and handles have no fixed length. A handle is unique per owner only.
fn name(owner: &Owner, handle: &Handle) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&owner.issuer, &owner.subject, handle.as_str()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str) -> Owner {
        Owner {
            issuer: "https://issuer.example".into(),
            subject: subject.into(),
            thumbprint: String::new(),
        }
    }

    fn handle(number: usize) -> Handle {
        format!("ddls:conn:0191f3a4-7c1e-7b1a-8f00-{number:012x}")
            .parse()
            .unwrap()
    }

    #[test]
    fn an_older_version_is_told_from_the_same_and_a_newer() {
        let versions = Versions::default();
        for (version, is_current) in [(2, true), (2, true), (1, false), (3, true), (2, false)] {
            assert_eq!(versions.note(&owner("a"), &handle(1), version), is_current);
        }
        assert_eq!(versions.highest(&owner("a"), &handle(1)), Some(3));
        assert!(versions.note(&owner("b"), &handle(1), 1), "another owner");
        assert!(versions.note(&owner("a"), &handle(2), 1), "another handle");
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let versions = Versions::default();
        for number in 0..=MAX_CONNECTIONS {
            assert!(versions.note(&owner("a"), &handle(number), 2));
        }
        assert_eq!(versions.lock().highest.len(), MAX_CONNECTIONS);
        assert_eq!(versions.highest(&owner("a"), &handle(0)), None);
        assert_eq!(versions.highest(&owner("a"), &handle(1)), Some(2));
    }
}
