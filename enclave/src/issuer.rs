//! The issuer's keys: from a measured address, over TLS with a pinned key, at most five minutes old.
//!
//! The parent relays the bytes and may withhold them; then tokens stop being accepted.
mod danger;
mod fetch;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dauth_protocol::{DeploymentConfiguration, deployment::InvalidConfiguration};
use dauth_token::Jwks;
use tokio::{sync::Mutex, time::Instant};

use crate::host::HostServices;
use fetch::Source;

/// Keys older than this are not used.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Keys older than this are fetched again while they are still used.
const REFRESH_AGE: Duration = Duration::from_secs(120);
/// Tokens with unknown keys, or a parent that refuses, cause no more than one fetch in this time.
const MIN_BETWEEN_FETCHES: Duration = Duration::from_secs(3);

/// The issuer's keys, fetched when they are needed.
pub struct IssuerKeys {
    source: Source,
    latest: RwLock<Option<Snapshot>>,
    /// When a fetch was last begun. Held while one runs: there is one at a time.
    last_fetch: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Snapshot {
    keys: Arc<Jwks>,
    /// When the request for them was sent, so that their age is never underestimated.
    asked: Instant,
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeysError {
    /// No connection through the parent.
    #[error("the issuer's keys cannot be reached")]
    Unreachable,
    /// TLS failed: the server does not have the pinned key.
    #[error("the server of the issuer's keys is not the pinned one")]
    NotPinned,
    /// Not a reply of status 200 with a key set within its bound.
    #[error("the issuer's keys are malformed")]
    Malformed,
    /// No answer in time.
    #[error("the server of the issuer's keys does not answer")]
    TimedOut,
    /// The last fetch failed a moment ago.
    #[error("the issuer's keys could not be fetched a moment ago")]
    Recently,
}

impl IssuerKeys {
    /// Keys from the measured address. Nothing is fetched yet.
    pub fn new(
        configuration: &DeploymentConfiguration,
        host: HostServices,
    ) -> Result<Arc<Self>, InvalidConfiguration> {
        Ok(Arc::new(Self {
            source: Source::new(&configuration.issuer_keys, host)?,
            latest: RwLock::new(None),
            last_fetch: Mutex::new(None),
        }))
    }

    /// The keys, at most five minutes old.
    pub async fn current(self: &Arc<Self>) -> Result<Arc<Jwks>, IssuerKeysError> {
        match self.usable() {
            Some(snapshot) if snapshot.asked.elapsed() < REFRESH_AGE => Ok(snapshot.keys),
            Some(snapshot) => {
                // The call that noticed need not wait: these keys are still good.
                if self.may_fetch() {
                    let this = Arc::clone(self);
                    tokio::spawn(async move { this.fetch_after(snapshot.asked).await });
                }
                Ok(snapshot.keys)
            }
            None => self.fetch_after_failure().await,
        }
    }

    /// Keys newer than `seen`, which lacked one; none, if there are none or it is too soon to ask.
    pub async fn newer_than(&self, seen: &Arc<Jwks>) -> Option<Arc<Jwks>> {
        let snapshot = self.usable()?;
        if !Arc::ptr_eq(&snapshot.keys, seen) {
            return Some(snapshot.keys);
        }
        self.fetch_after(snapshot.asked).await.ok()
    }

    fn usable(&self) -> Option<Snapshot> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        latest
            .clone()
            .filter(|snapshot| snapshot.asked.elapsed() < MAX_AGE)
    }

    /// Whether no fetch is under way or was begun a moment ago.
    fn may_fetch(&self) -> bool {
        let last = self.last_fetch.try_lock();
        last.is_ok_and(|last| last.is_none_or(|last| last.elapsed() >= MIN_BETWEEN_FETCHES))
    }

    async fn fetch_after_failure(&self) -> Result<Arc<Jwks>, IssuerKeysError> {
        let mut last_fetch = self.last_fetch.lock().await;
        match self.usable() {
            Some(snapshot) => Ok(snapshot.keys),
            None => self.fetch(&mut last_fetch).await,
        }
    }

    /// Fetches, unless another caller has done so since `asked`.
    async fn fetch_after(&self, asked: Instant) -> Result<Arc<Jwks>, IssuerKeysError> {
        let mut last_fetch = self.last_fetch.lock().await;
        match self.usable() {
            Some(snapshot) if snapshot.asked > asked => Ok(snapshot.keys),
            _ => self.fetch(&mut last_fetch).await,
        }
    }

    async fn fetch(&self, last: &mut Option<Instant>) -> Result<Arc<Jwks>, IssuerKeysError> {
        if last.is_some_and(|last| last.elapsed() < MIN_BETWEEN_FETCHES) {
            return Err(IssuerKeysError::Recently);
        }
        let asked = Instant::now();
        *last = Some(asked);
        let keys = Arc::new(self.source.fetch().await?);
        let snapshot = Snapshot {
            keys: Arc::clone(&keys),
            asked,
        };
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(keys)
    }

    /// Keys that are at hand, with no way to fetch others.
    #[cfg(test)]
    pub(crate) fn for_tests(keys: Jwks) -> Arc<Self> {
        Arc::new(Self {
            source: Source::unreachable(),
            latest: RwLock::new(Some(Snapshot {
                keys: Arc::new(keys),
                asked: Instant::now(),
            })),
            last_fetch: Mutex::new(None),
        })
    }
}

#[cfg(test)]
mod tests;
