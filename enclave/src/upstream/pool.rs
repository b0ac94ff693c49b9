//! Idle connections, each kept for the one connection, caller and authority that it served.
mod places;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dauth_protocol::Fingerprint;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::places::{Capacity, Places};
use super::Connection;

/// How many connections may be idle. An eighth is the most that one owner's calls can take.
const CAPACITY: Capacity = Capacity {
    all: 1024,
    per_owner: 1024 / 8,
    per_key: 8,
};
/// How long a connection may be idle. Many servers close theirs after a minute or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long the end of the last exchange may take to settle: it is a matter of scheduling.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(20);

/// Whose connections they are: none is ever shared between records or between callers, so that
/// what one makes of a connection cannot reach another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    /// Whose record it is.
    pub(crate) owner: PoolOwner,
    /// The record.
    pub(crate) fingerprint: Fingerprint,
    /// The caller's key thumbprint.
    pub(crate) caller: String,
    /// The upstream.
    pub(crate) authority: String,
}

/// Who shares the places with others: an owner, whatever key it proves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolOwner {
    /// `iss` of the owner's tokens.
    pub(crate) issuer: String,
    /// `sub` of the owner's tokens.
    pub(crate) subject: String,
}

pub(super) struct Pool {
    idle: Mutex<Places<Connection>>,
}

/// A connection in use; dropping it closes the connection.
pub(crate) struct Lease {
    connection: Connection,
    key: PoolKey,
    pool: Arc<Pool>,
    origin: Origin,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was idle, and may have gone stale unnoticed.
    Pool,
    /// It was opened for this call.
    New,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        let pool = Arc::new(Self {
            idle: Mutex::new(Places::new(CAPACITY)),
        });
        let weak = Arc::downgrade(&pool);
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                match weak.upgrade() {
                    Some(pool) => pool.sweep(),
                    None => break,
                }
            }
        });
        pool
    }

    /// The connection of `key` that was used last and still can be.
    pub(super) async fn take(&self, key: &PoolKey) -> Option<Connection> {
        while let Some(mut connection) = self.pop(key) {
            if timeout(SETTLE_TIMEOUT, connection.is_usable()).await == Ok(true) {
                return Some(connection);
            }
        }
        None
    }

    fn pop(&self, key: &PoolKey) -> Option<Connection> {
        let (connection, since) = self.lock().take(key)?;
        (since.elapsed() < IDLE_TIMEOUT).then_some(connection)
    }

    fn put(&self, key: PoolKey, connection: Connection) {
        let gave_way = self.lock().put(key, connection, Instant::now());
        // Closed once the lock is free.
        drop(gave_way);
    }

    fn sweep(&self) {
        let is_fit = |connection: &Connection, since: Instant| {
            since.elapsed() < IDLE_TIMEOUT && !connection.is_closed()
        };
        let swept = self.lock().sweep(is_fit);
        drop(swept);
    }

    fn lock(&self) -> MutexGuard<'_, Places<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn new(
        connection: Connection,
        key: PoolKey,
        pool: &Arc<Pool>,
        origin: Origin,
    ) -> Self {
        Self {
            connection,
            key,
            pool: Arc::clone(pool),
            origin,
        }
    }

    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Where it came from.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Keeps the connection for the next call, after a reply that was well-formed to its end and
    /// held no secret. One that sent what was not searched is closed all the same.
    pub(crate) fn give_back(self) {
        let is_clean = self.connection.may_serve_again();
        #[cfg(mutations)]
        let is_clean = is_clean || crate::mutation::Mutation::PoolAfterReflection.is_chosen();
        if is_clean {
            self.pool.put(self.key, self.connection);
        }
    }
}
