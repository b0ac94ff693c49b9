//! The one module and its two kinds of users: the enclave itself, and strangers who want evidence.
//!
//! The driver serializes requests under a mutex that knows no order, and a document takes the
//! module a while. Without an order of our own, a flood of requests for evidence keeps the clock
//! from being compared and keys from being fetched, and the enclave stops serving. Here whoever
//! acts for the enclave is next when the document in progress is done, however many strangers wait.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use dauth_protocol::measurement::Pcr;

use super::{Attester, AttesterError, Claims, PcrState};

/// A module that takes turns.
pub struct SharedModule {
    module: Arc<dyn Attester>,
    turns: Arc<Turns>,
}

impl SharedModule {
    /// Every user of `module` must go through this one.
    pub fn new(module: Arc<dyn Attester>) -> Self {
        Self {
            module,
            turns: Arc::default(),
        }
    }

    /// For the enclave's own purposes: clock, KMS, keyset.
    pub fn for_ourselves(&self) -> Arc<dyn Attester> {
        self.user(Rank::Ourselves)
    }

    /// For what anybody may ask for: it waits while the enclave itself does.
    pub fn for_strangers(&self) -> Arc<dyn Attester> {
        self.user(Rank::Stranger)
    }

    fn user(&self, rank: Rank) -> Arc<dyn Attester> {
        Arc::new(User {
            module: Arc::clone(&self.module),
            turns: Arc::clone(&self.turns),
            rank,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Ourselves,
    Stranger,
}

/// The module as one kind of users sees it.
struct User {
    module: Arc<dyn Attester>,
    turns: Arc<Turns>,
    rank: Rank,
}

impl Attester for User {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        let _turn = self.turns.take(self.rank);
        self.module.attest(claims)
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), AttesterError> {
        let _turn = self.turns.take(self.rank);
        self.module.random(buffer)
    }

    fn describe_pcr(&self, index: u16) -> Result<PcrState, AttesterError> {
        let _turn = self.turns.take(self.rank);
        self.module.describe_pcr(index)
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Pcr, AttesterError> {
        let _turn = self.turns.take(self.rank);
        self.module.extend_pcr(index, data)
    }

    fn lock_pcrs(&self, end: u16) -> Result<(), AttesterError> {
        let _turn = self.turns.take(self.rank);
        self.module.lock_pcrs(end)
    }
}

/// Who is at the module, and how many of us wait. Callers stand on threads that may block.
#[derive(Default)]
struct Turns {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    in_use: bool,
    of_us_waiting: usize,
}

impl Turns {
    fn take(&self, rank: Rank) -> Turn<'_> {
        let mut state = self.lock();
        if rank == Rank::Ourselves {
            state.of_us_waiting += 1;
        }
        let must_wait =
            |state: &mut State| state.in_use || rank == Rank::Stranger && state.of_us_waiting > 0;
        let mut state = self
            .freed
            .wait_while(state, must_wait)
            .unwrap_or_else(PoisonError::into_inner);
        if rank == Rank::Ourselves {
            state.of_us_waiting -= 1;
        }
        state.in_use = true;
        Turn(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn at the module. It ends when dropped, also where the module panics.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().in_use = false;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
pub(crate) mod tests;
