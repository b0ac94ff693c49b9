//! Ingress: TLS 1.3 and HTTP over the streams that the parent relays.
//!
//! A connection has a task of its own from the first byte on, so a peer that stalls its handshake
//! stalls nobody else; the number of connections is bounded by permits that are given back however
//! the task ends.
mod ingress;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use dauth_protocol::limit;
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

use ingress::Ingress;

use crate::{
    platform::{BoxStream, Transport},
    service::Service,
};

/// Connections at one time.
const MAX_CONNECTIONS: usize = 2048;
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of an HTTP/1.1 request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// HTTP/2 streams at one time on one connection.
const MAX_STREAMS: u32 = 256;
/// Buffers of one connection or stream.
const BUFFER_BYTES: usize = 16 * 1024;
/// HTTP/2 flow-control window of one stream.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;
/// How often an idle HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

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

    /// Serves until `shutdown` resolves; fails where listening is impossible.
    pub async fn serve(
        self,
        transport: Arc<dyn Transport>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut ingress = Ingress::new(transport);
        tokio::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                accepted = ingress.next() => accepted?,
                () = &mut shutdown => return Ok(()),
            };
            // A connection beyond the bound is closed at once: the parent's peer may try again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let acceptor = self.acceptor.clone();
            let service = Arc::clone(&self.service);
            tokio::spawn(async move {
                let _place = place;
                serve_connection(acceptor, stream, service).await;
            });
        }
    }
}

/// Serves one connection. How it ends concerns its peer alone.
async fn serve_connection(acceptor: TlsAcceptor, stream: BoxStream, service: Arc<Service>) {
    let accepting = acceptor.accept_with(stream, |session| {
        session.set_buffer_limit(Some(BUFFER_BYTES));
    });
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
        return;
    };
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let _ = if speaks_http2 {
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(BUFFER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .max_header_list_size(HEADER_BYTES)
            .keep_alive_interval(KEEP_ALIVE)
            .serve_connection(stream, service)
            .await
    } else {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(limit::MAX_HEADER_COUNT)
            .max_buf_size(limit::MAX_HEADER_BYTES)
            .serve_connection(stream, service)
            .await
    };
}

#[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
const HEADER_BYTES: u32 = limit::MAX_HEADER_BYTES as u32;
