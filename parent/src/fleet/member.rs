//! One enclave, as the parent knows it while it runs.
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use dauth_protocol::host::EnclaveMetrics;
use tokio::sync::watch;

use crate::{
    configuration::Endpoint,
    slots::{Slot, Slots},
    stream::BoxStream,
};

/// The part of an enclave's connections that cannot become tunnels: whoever makes its calls wait at
/// their upstreams keeps nobody from records, keys and the order to stop.
const KEPT_FROM_TUNNELS: usize = 8;

/// One enclave.
pub(crate) struct Member {
    name: String,
    endpoint: Endpoint,
    reach: Reach,
    state: watch::Sender<State>,
    relayed: AtomicUsize,
    host_connections: Slots,
    tunnels: Slots,
    metrics: Mutex<Option<EnclaveMetrics>>,
}

/// Who runs the enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Someone else: it is taken to be there, and is not told to stop.
    Alone,
    /// The supervisor, under this context identifier.
    Supervised(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    readiness: Readiness,
    order: Order,
    /// Requests for `/v1/shutdown` that are open: one, or two when a new one came before the old
    /// one was seen to break.
    watches: usize,
}

/// Whether it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing was heard of it yet.
    Starting,
    /// It holds its request for `/v1/shutdown` open.
    Ready,
    /// That request broke.
    Lost,
}

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    Stop,
    /// It does not run any more.
    Gone,
}

impl Member {
    /// An enclave of which nothing was heard yet.
    pub(crate) fn new(
        name: String,
        endpoint: Endpoint,
        reach: Reach,
        max_host_connections: usize,
    ) -> Self {
        Self {
            name,
            endpoint,
            reach,
            state: watch::Sender::new(State {
                readiness: Readiness::Starting,
                order: Order::Serve,
                watches: 0,
            }),
            relayed: AtomicUsize::new(0),
            host_connections: Slots::new(max_host_connections),
            tunnels: Slots::new(max_host_connections - max_host_connections / KEPT_FROM_TUNNELS),
            metrics: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn cid(&self) -> Option<u32> {
        match self.reach {
            Reach::Supervised(cid) => Some(cid),
            Reach::Alone => None,
        }
    }

    pub(crate) fn is_supervised(&self) -> bool {
        self.reach != Reach::Alone
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.state.borrow().readiness
    }

    /// Whether new connections go to it.
    pub(crate) fn takes_connections(&self) -> bool {
        self.admits(*self.state.borrow())
    }

    fn admits(&self, state: State) -> bool {
        let is_there = state.readiness == Readiness::Ready || !self.is_supervised();
        is_there && state.order == Order::Serve
    }

    pub(crate) async fn until_open(&self) {
        let mut state = self.state.subscribe();
        let open = state.wait_for(|state| self.admits(*state));
        if open.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until its readiness is not `readiness`.
    pub(crate) async fn until_not(&self, readiness: Readiness) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|state| state.readiness != readiness).await;
    }

    /// One that was found running, and accepts: its request for `/v1/shutdown` is yet to come.
    pub(crate) fn found_ready(&self) {
        self.state
            .send_modify(|state| state.readiness = Readiness::Ready);
    }

    /// The enclave asks when it is to stop: it is ready until the guard is dropped.
    pub(crate) fn watched(self: &Arc<Self>) -> Watched {
        self.state.send_modify(|state| {
            state.watches += 1;
            state.readiness = Readiness::Ready;
        });
        Watched(Arc::clone(self))
    }

    /// Whether the enclave holds its request for `/v1/shutdown` open.
    pub(crate) fn is_watching(&self) -> bool {
        self.state.borrow().watches > 0
    }

    /// New connections go elsewhere, and the enclave is told to stop.
    pub(crate) fn stop(&self) {
        self.state.send_modify(|state| {
            if state.order == Order::Serve {
                state.order = Order::Stop;
            }
        });
    }

    pub(crate) async fn until_told_to_stop(&self) {
        self.until_order(|order| order != Order::Serve).await;
    }

    /// It does not run any more: connections to it end.
    pub(super) fn is_gone(&self) {
        self.state.send_modify(|state| state.order = Order::Gone);
    }

    pub(crate) async fn until_gone(&self) {
        self.until_order(|order| order == Order::Gone).await;
    }

    async fn until_order(&self, holds: impl Fn(Order) -> bool) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| holds(state.order)).await;
    }

    /// A place for a tunnel, or none.
    pub(crate) fn tunnel(&self) -> Option<Slot> {
        self.tunnels.take()
    }

    /// A place for a connection to host services.
    pub(crate) fn host_connection(&self) -> Option<Slot> {
        self.host_connections.take()
    }

    /// Connections that are relayed to it now.
    pub(crate) fn connections(&self) -> usize {
        self.relayed.load(Ordering::Relaxed)
    }

    pub(super) fn relaying(self: &Arc<Self>) -> Relaying {
        self.relayed.fetch_add(1, Ordering::Relaxed);
        Relaying(Arc::clone(self))
    }

    /// What the enclave counted last.
    pub(crate) fn metrics(&self) -> Option<EnclaveMetrics> {
        self.lock().clone()
    }

    pub(crate) fn take_metrics(&self, metrics: EnclaveMetrics) {
        *self.lock() = Some(metrics);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<EnclaveMetrics>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream to an enclave, counted while it is open.
pub(crate) struct Connection {
    pub(crate) stream: BoxStream,
    pub(crate) member: Arc<Member>,
    pub(crate) open: Relaying,
}

pub(crate) struct Relaying(Arc<Member>);

impl Drop for Relaying {
    fn drop(&mut self) {
        self.0.relayed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request for `/v1/shutdown` that is open.
pub(crate) struct Watched(Arc<Member>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| {
            state.watches = state.watches.saturating_sub(1);
            if state.watches == 0 {
                state.readiness = Readiness::Lost;
            }
        });
    }
}
