//! HTTPS in front of the service: AWS JSON 1.1, health, and metrics.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    service::{Kms, Outcome},
    signature::ReceivedRequest,
};

/// AWS bounds a document at 262,144 bytes, a third more in base64.
const MAX_BODY_BYTES: usize = 512 * 1024;
const MAX_CONNECTIONS: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A server of one [`Kms`].
pub struct Server {
    kms: Kms,
    requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Server {
    /// A server of `kms`.
    pub fn new(kms: Kms) -> Self {
        Self {
            kms,
            requests: Mutex::default(),
        }
    }

    /// Serves until `shutdown` resolves; connections still open then are dropped.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: TlsAcceptor,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let service = TowerToHyperService::new(routes(Arc::new(self)));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                () = &mut shutdown => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // Out of file descriptors, or the peer is gone: neither passes faster by haste.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                continue;
            };
            let (tls, service) = (tls.clone(), service.clone());
            connections.spawn(async move {
                let _slot = slot;
                let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await else {
                    return;
                };
                let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
                builder
                    .http1()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT);
                // A connection that breaks concerns its peer alone.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    fn count(&self, operation: &'static str, code: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((operation, code)).or_default() += 1;
    }
}

fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", post(answer))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(server)
}

async fn answer(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = ReceivedRequest {
        headers: &headers,
        body: &body,
    };
    let Outcome { operation, result } = server.kms.answer(&request, now_ms());
    let operation = operation.map_or("unknown", |operation| operation.name());
    let (status, body) = match result {
        Ok(reply) => {
            server.count(operation, "ok");
            tracing::info!(operation, "answered");
            (StatusCode::OK, reply.to_string().into_bytes())
        }
        Err(refusal) => {
            server.count(operation, refusal.code);
            tracing::info!(operation, code = refusal.code, "refused");
            let status = StatusCode::from_u16(refusal.status());
            (status.unwrap_or(StatusCode::BAD_REQUEST), refusal.body())
        }
    };
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let mut text = String::from(
        "# HELP dauth_kms_requests_total Requests, by operation and result.\n\
         # TYPE dauth_kms_requests_total counter\n",
    );
    let requests = server
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for ((operation, result), count) in requests.iter() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "dauth_kms_requests_total{{operation=\"{operation}\",result=\"{result}\"}} {count}"
        );
    }
    let plain = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, plain)], text).into_response()
}

/// The one place where the simulated KMS asks for the time.
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
