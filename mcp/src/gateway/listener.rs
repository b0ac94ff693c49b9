//! Accepting deployments' connections: HTTP/1.1, bounded in number and in how long they are silent.
use std::{future::Future, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// When file descriptors have run out, accepting fails at once, over and over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What connections may take of this process.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Connections at one time; further ones wait to be accepted.
    pub(super) connections: usize,
    /// How long the head of a request may take, and a connection be silent before it.
    pub(super) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head: Duration::from_secs(30),
        }
    }
}

/// Serves until `shutdown`; then lets calls under way end.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let conversation = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = conversation.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn silent_connections_give_their_places_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "served"));
        let limits = Limits {
            connections: 1,
            head: Duration::from_millis(100),
        };
        tokio::spawn(serve(listener, router, limits, std::future::pending()));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut reply = String::new();
        let reading = stream.read_to_string(&mut reply);
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        read.expect("it stays open").unwrap();
        assert!(reply.ends_with("served"), "{reply}");
    }

    #[tokio::test]
    async fn ends_when_told_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let until_stopped = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(
            listener,
            Router::new(),
            Limits::default(),
            until_stopped,
        ));
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), served).await;
        ended.expect("it goes on").unwrap();
    }
}
