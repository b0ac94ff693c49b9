//! Ingress: TLS 1.3 and HTTP over the streams that the parent relays.
//!
//! A connection has a task of its own from the first byte on, so a peer that stalls its handshake
//! stalls nobody else; the number of connections is bounded by permits that are given back however
//! the task ends. Told to stop, it accepts no more, asks its peers to go elsewhere (RFC 9113 section
//! 6.8) and lets what is in progress end.
mod connection;
mod ingress;
mod stop;

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;

use connection::Protocol;
use ingress::Ingress;
use stop::Stopping;

use crate::{
    platform::{BoxStream, Transport},
    service::Service,
};

/// Connections at one time.
const MAX_CONNECTIONS: u32 = 2048;
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for what is in progress when the enclave is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Buffers of one connection or stream.
const BUFFER_BYTES: usize = 16 * 1024;

/// Accepts streams and serves requests on them.
pub struct Server {
    acceptor: TlsAcceptor,
    service: Arc<Service>,
}

impl Server {
    /// A server for `service` with the TLS key of `configuration`.
    pub fn new(configuration: Arc<ServerConfig>, service: Service) -> Self {
        Self {
            acceptor: TlsAcceptor::from(configuration),
            service: Arc::new(service),
        }
    }

    /// Serves until `shutdown` resolves, and then until calls in progress have ended; fails where
    /// listening is impossible.
    pub async fn serve(
        self,
        transport: Arc<dyn Transport>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
        let mut ingress = Ingress::new(transport);
        ingress.listen().await?;
        let (stop, stopping) = stop::channel();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                accepted = ingress.next() => accepted?,
                () = &mut shutdown => break,
            };
            // A connection beyond the bound is closed at once: the parent's peer may try again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
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
        stop.request();
        // Every place is free again when every connection has ended.
        let ended = places.acquire_many(MAX_CONNECTIONS);
        let _ = timeout(DRAIN_TIMEOUT, ended).await;
        // What is still in progress is cut off here, so that it leaves its receipt.
        connections.shutdown().await;
        Ok(())
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
