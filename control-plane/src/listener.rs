//! Accepting connections, with a bound on each and on their number.
//!
//! HTTP/1.1 alone: one request at a time, so that one timeout covers both a connection that says
//! nothing and one that idles. An HTTP/2 connection could be kept open by answering pings.
use std::{future::Future, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// When file descriptors have run out, accepting fails at once, over and over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections may take of this process.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at one time; further ones wait to be accepted.
    pub(crate) connections: usize,
    /// How long the TLS handshake may take.
    pub(crate) handshake: Duration,
    /// How long the head of a request may take, from the connection's start or the reply before:
    /// so also how long a connection may be silent.
    pub(crate) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
        }
    }
}

/// What a connection speaks below HTTP.
#[derive(Clone)]
pub(crate) enum Security {
    /// Nothing: loopback, or behind a reverse proxy.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
}

/// Serves until `shutdown`, then lets the requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    security: Security,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (security, router) = (security.clone(), router.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            match security {
                Security::Plain => converse(stream, router, limits, watcher).await,
                Security::Tls(acceptor) => {
                    match timeout(limits.handshake, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, router, limits, watcher).await,
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake took too long"),
                    }
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Replies are small and whole; waiting to fill a segment only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn converse<S>(stream: S, router: Router, limits: Limits, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
