//! Lazy re-encryption: what a call opened under a former record key is sealed under the current
//! one, so that former keys can be retired.
//!
//! A call never waits for it and never fails of it. The secret is sealed at once, in the call; what
//! goes to the vault in the background is a record and its receipt, as an owner would deposit them.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use dauth_protocol::{Fingerprint, Handle, RecordHeader};
use dauth_sealing::Secret;
use serde::Serialize;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use crate::{
    authorize::{Authorized, Call},
    deposit::{DepositError, DepositKeys},
    event::{Event, Events},
    host::{HostServices, PutRecord},
};

/// Records on their way to the vault at one time.
const PUT_AT_ONCE: usize = 4;
/// Records that wait for their turn: some 175 KiB each at most, 11 MiB together.
const QUEUE_RECORDS: usize = 64;
/// Fingerprints that are remembered: tokens stop naming a record soon after it was sealed anew.
const MAX_REMEMBERED: usize = 1 << 14;
/// After a failure that may pass, the same record is not tried for this long.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Seals records anew, and hands them to the parent in the background.
pub struct Reencryptor {
    queue: mpsc::Sender<Work>,
    attempts: Arc<Attempts>,
    events: Events,
}

/// What a call opened, beside its secret.
#[derive(Clone, Copy)]
pub(crate) struct OpenedUnderFormerKey<'a> {
    /// The call that is allowed to use it, by all checks.
    pub(crate) call: &'a Authorized<Call>,
    /// The record's header, which stays as it is.
    pub(crate) header: &'a RecordHeader,
    /// The record's secret.
    pub(crate) secret: &'a Secret,
}

/// Why the vault has no newer record. The one that it has stays good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReencrypted {
    /// Too many wait already; a later call tries again.
    Busy,
    /// It could not be sealed or signed.
    Unable,
    /// Another has replaced the record already.
    Superseded,
    /// The vault has no such record any more.
    NotFound,
    /// The owner has revoked it.
    Revoked,
    /// Parent or vault refuse or do not answer; a later call tries again.
    Unavailable,
}

struct Work {
    opened: Fingerprint,
    handle: Handle,
    admitted: Bytes,
}

impl Reencryptor {
    /// Starts the background task, which ends with the re-encryptor.
    pub fn start(host: HostServices, events: Events) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_RECORDS);
        let attempts = Arc::new(Attempts::default());
        let task = Background {
            host,
            attempts: Arc::clone(&attempts),
            events: events.clone(),
        };
        tokio::spawn(Arc::new(task).run(waiting));
        Self {
            queue,
            attempts,
            events,
        }
    }

    /// Seals a record anew, unless that was done since boot. Takes no longer than sealing and
    /// signing.
    pub(crate) fn offer(
        &self,
        opened: &OpenedUnderFormerKey<'_>,
        keys: &DepositKeys<'_>,
        now_s: u64,
    ) {
        let handle = &opened.call.handle;
        if let Err(reason) = self.queue_anew(opened, keys, now_s) {
            self.events.note(Event::NotReencrypted {
                handle: handle.clone(),
                reason,
            });
        }
    }

    /// How many records wait for their turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        QUEUE_RECORDS - self.queue.capacity()
    }

    fn queue_anew(
        &self,
        opened: &OpenedUnderFormerKey<'_>,
        keys: &DepositKeys<'_>,
        now_s: u64,
    ) -> Result<(), NotReencrypted> {
        let fingerprint = opened.call.fingerprint;
        if !self.attempts.is_due(&fingerprint) {
            return Ok(());
        }
        let place = self.queue.try_reserve().map_err(|_| NotReencrypted::Busy)?;
        if !self.attempts.begin(fingerprint) {
            return Ok(());
        }
        let deposit = keys
            .deposit(opened.header, opened.secret, now_s)
            .map_err(|_: DepositError| NotReencrypted::Unable)?;
        let admitted =
            serde_json::to_vec(&deposit.admitted()).map_err(|_| NotReencrypted::Unable)?;
        place.send(Work {
            opened: fingerprint,
            handle: opened.call.handle.clone(),
            admitted: Bytes::from(admitted),
        });
        Ok(())
    }
}

struct Background {
    host: HostServices,
    attempts: Arc<Attempts>,
    events: Events,
}

impl Background {
    async fn run(self: Arc<Self>, mut waiting: mpsc::Receiver<Work>) {
        let places = Arc::new(Semaphore::new(PUT_AT_ONCE));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Some(work) = waiting.recv().await else {
                return;
            };
            let this = Arc::clone(&self);
            tokio::spawn(async move {
                let _place = place;
                this.put(work).await;
            });
        }
    }

    async fn put(&self, work: Work) {
        let Work {
            opened,
            handle,
            admitted,
        } = work;
        let reason = match self.host.put_record(&opened, admitted).await {
            Ok(PutRecord::Stored) => return self.events.note(Event::Reencrypted { handle }),
            Ok(PutRecord::Superseded) => NotReencrypted::Superseded,
            Ok(PutRecord::NotFound) => NotReencrypted::NotFound,
            Ok(PutRecord::Revoked) => NotReencrypted::Revoked,
            Err(_) => {
                self.attempts.again_later(opened);
                NotReencrypted::Unavailable
            }
        };
        self.events.note(Event::NotReencrypted { handle, reason });
    }
}

/// The records that were sealed anew since boot, and when one may be again.
///
/// Beyond its bound the one first seen longest ago is forgotten, and would be sealed once more.
#[derive(Default)]
struct Attempts(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    next: HashMap<Fingerprint, Next>,
    by_age: VecDeque<Fingerprint>,
}

#[derive(Clone, Copy)]
enum Next {
    Never,
    After(Instant),
}

impl Attempts {
    fn is_due(&self, fingerprint: &Fingerprint) -> bool {
        self.lock().is_due(fingerprint)
    }

    /// Notes that it is done; false, if another call was faster.
    fn begin(&self, fingerprint: Fingerprint) -> bool {
        let mut remembered = self.lock();
        let is_due = remembered.is_due(&fingerprint);
        if is_due {
            remembered.insert(fingerprint);
        }
        is_due
    }

    fn again_later(&self, fingerprint: Fingerprint) {
        if let Some(next) = self.lock().next.get_mut(&fingerprint) {
            *next = Next::After(Instant::now() + RETRY_AFTER);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn is_due(&self, fingerprint: &Fingerprint) -> bool {
        match self.next.get(fingerprint) {
            None => true,
            Some(Next::Never) => false,
            Some(Next::After(time)) => Instant::now() >= *time,
        }
    }

    fn insert(&mut self, fingerprint: Fingerprint) {
        if self.next.insert(fingerprint, Next::Never).is_none() {
            self.by_age.push_back(fingerprint);
        }
        if self.by_age.len() > MAX_REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.next.remove(&oldest);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
