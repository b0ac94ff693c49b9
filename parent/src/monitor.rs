//! `/healthz`, `/readyz`, `/metrics`, for the operator.
use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Method, Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    fleet::Fleet,
    host::{Reply, bytes, problem},
    ingress::ACCEPT_RETRY,
    metrics::Metrics,
    slots::Slots,
};

const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const READY_TIMEOUT: Duration = Duration::from_secs(2);
const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The monitor.
pub(crate) struct Monitor {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Monitor {
    /// Serves until dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let slots = Slots::new(MAX_CONNECTIONS);
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            let Some(slot) = slots.take() else {
                continue;
            };
            let this = Arc::clone(&this);
            connections.spawn(async move {
                let _slot = slot;
                let service = service_fn(|request| {
                    let this = Arc::clone(&this);
                    async move { Ok::<_, Infallible>(this.answer(&request).await) }
                });
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "monitor connection");
                }
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Reply {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "GET alone is served here");
        }
        match request.uri().path() {
            "/healthz" => bytes("alive\n", TEXT),
            "/readyz" => self.ready().await,
            "/metrics" => bytes(self.metrics.to_text(&self.fleet.members()), PROMETHEUS),
            _ => problem(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics"),
        }
    }

    async fn ready(&self) -> Reply {
        match self.fleet.is_ready(READY_TIMEOUT).await {
            true => bytes("ready\n", TEXT),
            false => problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "no enclave accepts connections",
            ),
        }
    }
}
