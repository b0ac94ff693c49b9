//! Dispatch tokens, kept for the callers they were exchanged for.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dauth_dispatch::AccessToken;

/// Callers remembered at one time.
const MAX_TOKENS: usize = 4096;
/// A token is not used so shortly before its end: the call must still reach the enclave.
const MARGIN: Duration = Duration::from_secs(15);

/// Tokens by SHA-256 of the caller's token.
#[derive(Default)]
pub(crate) struct TokenCache(Mutex<HashMap<[u8; 32], Arc<AccessToken>>>);

impl TokenCache {
    pub(crate) fn get(&self, caller: &[u8; 32]) -> Option<Arc<AccessToken>> {
        let tokens = self.lock();
        tokens
            .get(caller)
            .filter(|token| token.outlives(MARGIN))
            .cloned()
    }

    pub(crate) fn put(&self, caller: [u8; 32], token: Arc<AccessToken>) {
        let mut tokens = self.lock();
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, token| token.outlives(MARGIN));
        }
        if tokens.len() < MAX_TOKENS && token.outlives(MARGIN) {
            tokens.insert(caller, token);
        }
    }

    pub(crate) fn forget(&self, caller: &[u8; 32]) {
        self.lock().remove(caller);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<AccessToken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
