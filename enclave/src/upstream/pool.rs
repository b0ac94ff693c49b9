//! Idle connections, each kept for the one connection, caller and authority that it served.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dauth_protocol::Fingerprint;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Connection;

/// Idle connections in all.
const MAX_IDLE: usize = 1024;
/// Idle connections of one key.
const MAX_IDLE_PER_KEY: usize = 8;
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
    /// The record.
    pub(crate) fingerprint: Fingerprint,
    /// The caller's key thumbprint.
    pub(crate) caller: String,
    /// The upstream.
    pub(crate) authority: String,
}

pub(super) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: HashMap<PoolKey, Vec<(Connection, Instant)>>,
    count: usize,
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
            idle: Mutex::default(),
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
        let mut idle = self.lock();
        let of_key = idle.connections.get_mut(key)?;
        let popped = of_key.pop();
        if of_key.is_empty() {
            idle.connections.remove(key);
        }
        let (connection, since) = popped?;
        idle.count -= 1;
        (since.elapsed() < IDLE_TIMEOUT).then_some(connection)
    }

    fn put(&self, key: PoolKey, connection: Connection) {
        let mut idle = self.lock();
        if idle.count >= MAX_IDLE {
            return;
        }
        let of_key = idle.connections.entry(key).or_default();
        if of_key.len() < MAX_IDLE_PER_KEY {
            of_key.push((connection, Instant::now()));
            idle.count += 1;
        }
    }

    fn sweep(&self) {
        let mut idle = self.lock();
        idle.connections.retain(|_, of_key| {
            of_key.retain(|(connection, since)| {
                since.elapsed() < IDLE_TIMEOUT && !connection.is_closed()
            });
            !of_key.is_empty()
        });
        idle.count = idle.connections.values().map(Vec::len).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
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
        if self.connection.may_serve_again() {
            self.pool.put(self.key, self.connection);
        }
    }
}
