//! Connections whose upstream hands the credential back too often.
//!
//! A reply that holds the credential is redacted. Who can make an upstream say it in one form after
//! another can look for one that is not searched, so that a connection is suspended when that
//! happens more often than its policy allows.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dauth_protocol::Code;
use tokio::time::Instant;

use crate::{bounded_map::BoundedMap, open::ConnectionName, refusal::Refusal};

/// Reflections are counted from the first one on for so long, and then anew.
const WINDOW: Duration = Duration::from_secs(3600);
/// Connections that are counted at a time, and as many that are suspended: about 170 bytes each.
const MAX_CONNECTIONS: usize = 1 << 16;

/// What a suspended connection's callers are told.
pub(crate) const SUSPENDED: Refusal = Refusal::new(
    Code::LimitExceeded,
    "the connection is suspended: too many replies held its credential; its owner can rotate it",
);

/// Counts replies that held a credential, and suspends connections.
///
/// By connection and version: a record that is sealed anew has another fingerprint and changes
/// nothing, a rotation makes another version and begins anew. Beyond the bound the connection that
/// has been counted for longest is forgotten, never a suspended one for one that is merely counted:
/// who would have his own forgotten needs 65,536 others that reflect.
#[derive(Clone)]
pub(crate) struct Suspensions(Arc<Mutex<State>>);

struct State {
    windows: BoundedMap<Key, Window>,
    suspended: BoundedMap<Key, ()>,
}

type Key = (ConnectionName, u64);

struct Window {
    began: Instant,
    reflections: u64,
}

/// A connection that is not suspended, for the time of one call.
pub(crate) struct Watched {
    suspensions: Suspensions,
    key: Key,
    max_per_hour: u64,
}

/// What a reflection led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Tolerated,
    /// The connection is suspended from now on.
    Suspended,
    /// It had been suspended while this call was under way.
    WasSuspended,
}

impl Default for Suspensions {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            windows: BoundedMap::new(MAX_CONNECTIONS),
            suspended: BoundedMap::new(MAX_CONNECTIONS),
        })))
    }
}

impl Suspensions {
    /// Lets a call of a connection's version pass, unless it is suspended.
    pub(crate) fn watch(
        &self,
        connection: ConnectionName,
        version: u64,
        max_per_hour: u64,
    ) -> Result<Watched, Refusal> {
        let key = (connection, version);
        if self.lock().suspended.get(&key).is_some() {
            return Err(SUSPENDED);
        }
        Ok(Watched {
            suspensions: self.clone(),
            key,
            max_per_hour,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Notes that the call's reply held the credential: once for each call.
    pub(crate) fn reflected(self) -> Verdict {
        let mut state = self.suspensions.lock();
        if state.suspended.get(&self.key).is_some() {
            return Verdict::WasSuspended;
        }
        if state.count(self.key) <= self.max_per_hour {
            return Verdict::Tolerated;
        }
        state.windows.remove(&self.key);
        state.suspended.insert(self.key, ());
        Verdict::Suspended
    }
}

impl State {
    /// One more, and how many there are in the window.
    fn count(&mut self, key: Key) -> u64 {
        let now = Instant::now();
        match self.windows.get_mut(&key) {
            Some(window) if now.duration_since(window.began) < WINDOW => {
                window.reflections += 1;
                window.reflections
            }
            // As the youngest: windows that are over are the oldest, and go first.
            _ => {
                let window = Window {
                    began: now,
                    reflections: 1,
                };
                self.windows.insert(key, window);
                1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dauth_protocol::{Handle, Owner};

    use super::*;

    fn connection(subject: usize) -> ConnectionName {
        let owner = Owner {
            issuer: "https://issuer.example".into(),
            subject: subject.to_string(),
            thumbprint: String::new(),
        };
        let handle: Handle = "ddls:conn:test".parse().unwrap();
        ConnectionName::of(&owner, &handle)
    }

    /// The verdict of a reflection by the connection's version 1, at most two an hour.
    fn reflect(suspensions: &Suspensions, subject: usize) -> Result<Verdict, Refusal> {
        let watched = suspensions.watch(connection(subject), 1, 2)?;
        Ok(watched.reflected())
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_in_an_hour_suspends_until_the_connection_is_rotated() {
        let suspensions = Suspensions::default();
        let under_way = suspensions.watch(connection(1), 1, 2).unwrap();
        for verdict in [Verdict::Tolerated, Verdict::Tolerated, Verdict::Suspended] {
            assert_eq!(reflect(&suspensions, 1), Ok(verdict));
        }
        assert_eq!(under_way.reflected(), Verdict::WasSuspended);
        for _ in 0..2 {
            assert_eq!(reflect(&suspensions, 1), Err(SUSPENDED));
            tokio::time::advance(10 * WINDOW).await;
        }
        assert!(suspensions.watch(connection(1), 2, 2).is_ok(), "rotated");
        assert_eq!(reflect(&suspensions, 2), Ok(Verdict::Tolerated), "another");
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_after_the_first_the_count_begins_anew() {
        let suspensions = Suspensions::default();
        for _ in 0..5 {
            for _ in 0..2 {
                assert_eq!(reflect(&suspensions, 1), Ok(Verdict::Tolerated));
                tokio::time::advance(WINDOW / 2).await;
            }
        }
    }

    #[tokio::test]
    async fn with_zero_the_first_suspends() {
        let suspensions = Suspensions::default();
        let watched = suspensions.watch(connection(1), 1, 0).unwrap();
        assert_eq!(watched.reflected(), Verdict::Suspended);
        assert!(suspensions.watch(connection(1), 1, 0).is_err());
    }

    /// The attack: others that reflect are to push the suspended connection out of memory.
    #[tokio::test]
    async fn connections_that_are_counted_do_not_make_it_forget_a_suspended_one() {
        let suspensions = Suspensions::default();
        while reflect(&suspensions, 0) != Err(SUSPENDED) {}
        for subject in 1..=MAX_CONNECTIONS + 1 {
            assert_eq!(reflect(&suspensions, subject), Ok(Verdict::Tolerated));
        }
        assert_eq!(reflect(&suspensions, 0), Err(SUSPENDED));
        let state = suspensions.lock();
        assert!(state.windows.get(&(connection(1), 1)).is_none(), "bounded");
    }
}
