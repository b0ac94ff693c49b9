//! The keyset that serves, and what comes after it.
//!
//! A generation is replaced by a later one of the same keyset and by nothing else: neither the
//! parent, which may serve any file that it ever had, nor KMS can make an enclave that runs go back
//! or go without. Calls under way hold the generation that they began with.
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::{Announcement, Keyset, KeysetContext, Serving};
use crate::event::{Event, Events};

mod patience;
mod reading;
mod watching;

use reading::Reading;
#[cfg(test)]
pub(super) use watching::Watch;

/// The parent is asked for a later generation at most this often on behalf of calls.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);
/// How long a call waits for the answer.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// Milliseconds since the epoch, while the clock is to be trusted.
pub type TrustedTime = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Keeps the keyset that serves.
#[derive(Clone)]
pub struct Keeper(Arc<Kept>);

struct Kept {
    context: KeysetContext,
    announcement: Announcement,
    time: TrustedTime,
    events: Events,
    serving: RwLock<Arc<Serving>>,
    /// Held by the one that reads the parent's file.
    reading: Mutex<Reading>,
    /// How many readings have begun.
    readings: AtomicU64,
    /// Whether there may be a later generation that could not be had.
    lags: AtomicBool,
}

impl Keeper {
    /// Serves with `keyset` until there is a later generation.
    pub fn new(
        context: KeysetContext,
        keyset: Keyset,
        announcement: Announcement,
        time: TrustedTime,
        events: Events,
    ) -> Self {
        let serving = Arc::new(Serving::new(keyset, &announcement));
        Self(Arc::new(Kept {
            context,
            announcement,
            time,
            events,
            serving: RwLock::new(serving),
            reading: Mutex::default(),
            readings: AtomicU64::default(),
            lags: AtomicBool::default(),
        }))
    }

    /// The generation that serves now.
    pub fn current(&self) -> Arc<Serving> {
        let serving = self.0.serving.read();
        Arc::clone(&serving.unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, after asking the parent for a later one: for a key id that [`Keeper::current`]
    /// does not know, because another enclave of the fleet has changed the keyset.
    ///
    /// It asks at most five times a second, however many wait for the answer, and waits for at most
    /// five seconds.
    pub async fn refresh(&self) -> Arc<Serving> {
        let readings = self.0.readings.load(Ordering::Acquire);
        let asking = async {
            let mut reading = self.reading().await;
            // A reading that began before the need arose may be older than the key that is missing.
            if self.0.readings.load(Ordering::Acquire) == readings {
                reading.pause(REFRESH_INTERVAL).await;
                self.read(&mut reading).await;
            }
        };
        if timeout(REFRESH_TIMEOUT, asking).await.is_err() {
            self.0.lags.store(true, Ordering::Release);
        }
        self.current()
    }

    /// Whether there may be a later generation all the same: the parent, KMS or the module did not
    /// do their part when they were last asked.
    pub fn lags(&self) -> bool {
        self.0.lags.load(Ordering::Acquire)
    }

    /// Serves with `keyset` from now on, if it is a later generation than what serves.
    pub(super) fn adopt(&self, keyset: Keyset) {
        let generation = keyset.generation();
        let next = Arc::new(Serving::new(keyset, &self.0.announcement));
        {
            let serving = self.0.serving.write();
            let mut serving = serving.unwrap_or_else(PoisonError::into_inner);
            // What serves may have changed while this one was verified.
            if serving.keyset().is_followed_by(next.keyset()).is_err() {
                return;
            }
            *serving = next;
        }
        self.0.events.note(Event::KeysetChanged { generation });
    }

    async fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.reading.lock().await
    }

    fn context(&self) -> &KeysetContext {
        &self.0.context
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
    }

    fn now_ms(&self) -> Option<u64> {
        (self.0.time)()
    }
}
