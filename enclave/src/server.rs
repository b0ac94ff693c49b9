//! Ingress: TLS 1.3 and HTTP over the streams that the parent relays.
//!
//! A connection has a task of its own from the first byte on, so a peer that stalls its handshake
//! stalls nobody else; the number of connections is bounded by permits that are given back however
//! the task ends. Told to stop, it accepts no more, asks its peers to go elsewhere (RFC 9113 section
//! 6.8) and lets what is in progress end.
mod connection;
mod ingress;
mod stop;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use connection::Protocol;
use ingress::Ingress;
use stop::Stopping;

pub use stop::Patience;

use crate::{
    platform::{BoxStream, Transport},
    service::Service,
};

/// Connections at one time.
const MAX_CONNECTIONS: usize = 2048;
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for streams that the parent had opened before it said that the enclave is to stop.
const LATE: Duration = Duration::from_millis(250);
/// Buffers of one connection or stream.
const BUFFER_BYTES: usize = 16 * 1024;

/// Accepts streams and serves requests on them.
pub struct Server {
    acceptor: TlsAcceptor,
    service: Arc<Service>,
    occupancy: Arc<Occupancy>,
}

/// The places for connections.
pub(crate) struct Occupancy {
    places: usize,
    free: Arc<Semaphore>,
    refused: AtomicU64,
}

impl Server {
    /// A server for `service` with the TLS key of `configuration`.
    pub fn new(configuration: Arc<ServerConfig>, service: Service) -> Self {
        Self {
            acceptor: TlsAcceptor::from(configuration),
            service: Arc::new(service),
            occupancy: Arc::new(Occupancy::of(MAX_CONNECTIONS)),
        }
    }

    /// How many connections there are.
    pub(crate) fn occupancy(&self) -> Arc<Occupancy> {
        Arc::clone(&self.occupancy)
    }

    /// Serves until `shutdown` resolves, and then until calls in progress have ended; fails where
    /// listening is impossible. `shutdown` is first polled when streams are accepted.
    pub async fn serve(
        self,
        transport: Arc<dyn Transport>,
        shutdown: impl Future<Output = Patience> + Send,
    ) -> io::Result<()> {
        let mut ingress = Ingress::new(transport);
        ingress.listen().await?;
        let (stop, stopping) = stop::channel();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        let patience = loop {
            let stream = tokio::select! {
                accepted = ingress.next() => accepted?,
                patience = &mut shutdown => break patience,
            };
            self.take(stream, &mut connections, &stopping);
        };
        stop.request();
        let ended = self.drain(&mut ingress, &mut connections, &stopping);
        let _ = timeout(patience.span(), ended).await;
        // What is still in progress is cut off here, so that it leaves its receipt.
        connections.shutdown().await;
        Ok(())
    }

    /// Waits until every connection has ended. What the parent had opened before it knew, or opens
    /// all the same, is served as what is in progress is: nobody hears that its call is lost.
    async fn drain(
        &self,
        ingress: &mut Ingress,
        connections: &mut JoinSet<()>,
        stopping: &Stopping,
    ) {
        let late = Instant::now() + LATE;
        while Instant::now() < late || !connections.is_empty() {
            tokio::select! {
                accepted = ingress.next() => match accepted {
                    Ok(stream) => self.take(stream, connections, stopping),
                    // There has been none, and there will be none.
                    Err(_) => return,
                },
                Some(_) = connections.join_next() => {}
                () = sleep_until(late), if Instant::now() < late => {}
            }
        }
    }

    fn take(&self, stream: BoxStream, connections: &mut JoinSet<()>, stopping: &Stopping) {
        // A connection beyond the bound is closed at once: the parent's peer may try again.
        let Some(place) = self.occupancy.place() else {
            return;
        };
        let acceptor = self.acceptor.clone();
        let service = Arc::clone(&self.service);
        let stopping = stopping.clone();
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let _place = place;
            serve_connection(acceptor, stream, service, stopping).await;
        });
    }
}

impl Occupancy {
    pub(crate) fn of(places: usize) -> Self {
        Self {
            places,
            free: Arc::new(Semaphore::new(places)),
            refused: AtomicU64::new(0),
        }
    }

    /// A place, given back when it is dropped; none when all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok();
        if place.is_none() {
            self.refused.fetch_add(1, Relaxed);
        }
        place
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u64 {
        let open = self.places.saturating_sub(self.free.available_permits());
        u64::try_from(open).unwrap_or(u64::MAX)
    }

    /// Connections that were closed for lack of a place.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// Serves one connection. How it ends concerns its peer alone.
async fn serve_connection(
    acceptor: TlsAcceptor,
    stream: BoxStream,
    service: Arc<Service>,
    stopping: Stopping,
) {
    let accepting = acceptor.accept_with(stream, |session| {
        session.set_buffer_limit(Some(BUFFER_BYTES));
    });
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
        return;
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let answer = move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    };
    connection::serve(stream, protocol, answer, stopping).await;
}
