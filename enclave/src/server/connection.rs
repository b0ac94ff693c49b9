//! HTTP on one connection, for as long as it is used.
//!
//! Pings keep a connection alive but not in its place: what asks for nothing is closed.
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dauth_protocol::limit;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{BUFFER_BYTES, stop::Stopping};

/// Time for the head of an HTTP/1.1 request, and for the first request of any connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// After so long without a new request a connection takes no more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for what is still in progress then: as long as a policy may let an upstream take.
const WIND_DOWN_TIMEOUT: Duration = Duration::from_millis(limit::MAX_TIMEOUT_MS);
/// Time for a first request that its peer has sent, and that has not arrived, when the enclave stops.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// Time for a peer to close its end after the last answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// HTTP/2 streams at one time on one connection.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 flow-control window of one stream.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;
/// How often an idle HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

#[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
const HEADER_BYTES: u32 = limit::MAX_HEADER_BYTES as u32;

/// What was agreed by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `http/1.1`, or nothing.
    Http1,
    /// `h2`.
    Http2,
}

/// Serves requests with `answer` until the peer goes or asks for nothing more, or the enclave stops.
pub(super) async fn serve<S, A, F, B>(
    mut stream: S,
    protocol: Protocol,
    answer: A,
    stopping: Stopping,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let requests = Arc::new(Requests::default());
    let noted = Arc::clone(&requests);
    let service = service_fn(move |request| {
        noted.note();
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    match protocol {
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_send_buf_size(BUFFER_BYTES)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .max_header_list_size(HEADER_BYTES)
                .keep_alive_interval(KEEP_ALIVE)
                .serve_connection(TokioIo::new(&mut stream), service);
            let wind_down = http2::Connection::graceful_shutdown;
            while_used(connection, wind_down, &requests, stopping).await;
        }
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_headers(limit::MAX_HEADER_COUNT)
                .max_buf_size(limit::MAX_HEADER_BYTES)
                .serve_connection(TokioIo::new(&mut stream), service);
            let wind_down = http1::Connection::graceful_shutdown;
            while_used(connection, wind_down, &requests, stopping).await;
        }
    }
    if requests.latest().is_some() {
        linger(stream).await;
    }
}

/// Reads to the end what the peer still sends. To close before is to reset, and the peer would lose
/// answers that it has not read yet (RFC 9112 section 9.6).
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut unread = [0; 1024];
    let reading = async {
        let _ = stream.shutdown().await;
        while let Ok(1..) = stream.read(&mut unread).await {}
    };
    let _ = timeout(LINGER_TIMEOUT, reading).await;
}

/// Drives a connection; ends it where no first request comes, or no further one.
async fn while_used<C: Future>(
    connection: C,
    wind_down: fn(Pin<&mut C>),
    requests: &Requests,
    mut stopping: Stopping,
) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        last = requests.cease() => if last == Last::None {
            return;
        },
        () = stopping.requested() => {}
    }
    // HTTP/2 that is told to wind down before its peer's first bytes are there closes at once, and
    // with it loses the request behind them.
    if requests.latest().is_none() {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = requests.first(UNDER_WAY) => {}
        }
    }
    wind_down(connection.as_mut());
    if requests.latest().is_none() {
        let ended = timeout(UNDER_WAY, connection.as_mut()).await;
        if ended.is_ok() || requests.latest().is_none() {
            return;
        }
    }
    let _ = timeout(WIND_DOWN_TIMEOUT, connection).await;
}

/// When the last request of a connection came.
#[derive(Default)]
struct Requests {
    latest: Mutex<Option<Instant>>,
    came: Notify,
}

/// Whether there was a request at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    None,
    Some,
}

impl Requests {
    fn note(&self) {
        *self.lock() = Some(Instant::now());
        self.came.notify_one();
    }

    fn latest(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when there has been a request, or none for so long.
    async fn first(&self, span: Duration) {
        let _ = timeout(span, async {
            while self.latest().is_none() {
                self.came.notified().await;
            }
        })
        .await;
    }

    /// Resolves when no request has come for too long.
    async fn cease(&self) -> Last {
        sleep_until(Instant::now() + HEAD_TIMEOUT).await;
        let Some(mut latest) = self.latest() else {
            return Last::None;
        };
        loop {
            sleep_until(latest + IDLE_TIMEOUT).await;
            match self.latest() {
                Some(later) if later > latest => latest = later,
                _ => return Last::Some,
            }
        }
    }
}

#[cfg(test)]
mod tests;
