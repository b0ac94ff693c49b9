//! The highest version of each connection seen since boot.
use std::sync::{Mutex, MutexGuard, PoisonError};

use dauth_protocol::{Handle, Owner};

use super::ConnectionName;
use crate::bounded_map::BoundedMap;

/// Connections that are remembered at a time: about 150 bytes each.
const MAX_CONNECTIONS: usize = 1 << 16;

/// Remembers versions, so that a vault cannot serve an old record after a newer one was used.
///
/// Beyond its bound the connection first seen longest ago is forgotten. That weakens a second line
/// of defence: the first is the fingerprint in the token.
pub struct Versions(Mutex<BoundedMap<ConnectionName, u64>>);

impl Default for Versions {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_CONNECTIONS)))
    }
}

impl Versions {
    /// The highest version used, if any.
    pub fn highest(&self, owner: &Owner, handle: &Handle) -> Option<u64> {
        let name = ConnectionName::of(owner, handle);
        self.lock().get(&name).copied()
    }

    /// Notes that a version is used; false, if a higher one was used before.
    pub(crate) fn note(&self, connection: ConnectionName, version: u64) -> bool {
        let mut seen = self.lock();
        if let Some(highest) = seen.get_mut(&connection) {
            let is_current = version >= *highest;
            *highest = version.max(*highest);
            return is_current;
        }
        seen.insert(connection, version);
        true
    }

    fn lock(&self) -> MutexGuard<'_, BoundedMap<ConnectionName, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    fn name(subject: &str, number: usize) -> ConnectionName {
        ConnectionName::of(&owner(subject), &handle(number))
    }

    #[test]
    fn an_older_version_is_told_from_the_same_and_a_newer() {
        let versions = Versions::default();
        for (version, is_current) in [(2, true), (2, true), (1, false), (3, true), (2, false)] {
            assert_eq!(versions.note(name("a", 1), version), is_current);
        }
        assert_eq!(versions.highest(&owner("a"), &handle(1)), Some(3));
        assert!(versions.note(name("b", 1), 1), "another owner");
        assert!(versions.note(name("a", 2), 1), "another handle");
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let versions = Versions::default();
        for number in 0..=MAX_CONNECTIONS {
            assert!(versions.note(name("a", number), 2));
        }
        assert_eq!(versions.highest(&owner("a"), &handle(0)), None);
        assert_eq!(versions.highest(&owner("a"), &handle(1)), Some(2));
    }
}
