//! What the enclave asks of its host: the other end of [`dauth_protocol::host`].
use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{
    Fingerprint, host as paths,
    limit::{MAX_CONFIGURATION_BYTES, MAX_HEADER_BYTES},
};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::mpsc, task::JoinSet};

mod credentials;
mod events;
mod keyset;
mod lifecycle;
mod receipts;
mod records;
mod reply;
mod tunnel;

pub(crate) use credentials::Credentials;
pub use credentials::CredentialsError;
pub use events::{Events, MAX_EVENT_BYTES};
pub use keyset::{KeysetFile, MAX_ORDER_BYTES, Stored};
pub use records::{Records, RecordsError};

use crate::{
    configuration,
    egress::{Guard, names::HostsError},
    fleet::{Fleet, Member},
    ingress::ACCEPT_RETRY,
    live::Live,
    metrics::Metrics,
    slots::Slot,
    stream::{BoxStream, Listener},
};
use reply::{OCTETS, json, status};
pub(crate) use reply::{Reply, bytes, problem};
use tunnel::Tunnel;

/// How long a connection may stand between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(300);

/// The host services.
pub(crate) struct HostServices {
    pub(crate) configuration_file: PathBuf,
    pub(crate) credentials: Credentials,
    pub(crate) keyset: KeysetFile,
    pub(crate) records: Records,
    pub(crate) events: Events,
    pub(crate) egress: Live<Egress>,
    pub(crate) metrics: Arc<Metrics>,
}

/// What tunnels may reach, and for how long.
pub(crate) struct Egress {
    pub(crate) guard: Guard,
    pub(crate) idle: Duration,
}

impl Egress {
    pub(crate) fn new(configuration: &configuration::Egress) -> Result<Self, HostsError> {
        Ok(Self {
            guard: Guard::new(configuration)?,
            idle: Duration::from_secs(configuration.idle_timeout_s),
        })
    }
}

/// Who may connect to a listener.
pub(crate) enum Callers {
    /// One enclave; over vsock, the one with this context identifier.
    One(Arc<Member>, Option<u32>),
    /// Each enclave of the fleet, by its context identifier.
    Each(Arc<Fleet>),
}

impl Callers {
    fn who(&self, cid: Option<u32>) -> Option<Arc<Member>> {
        match self {
            Self::One(member, expected) => (cid == *expected).then(|| Arc::clone(member)),
            Self::Each(fleet) => fleet.of_cid(cid?),
        }
    }
}

impl HostServices {
    /// Serves until dropped; connections and tunnels end with it.
    pub(crate) async fn serve(self: Arc<Self>, listener: Listener, callers: Callers) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, cid) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a host service connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Some(member) = callers.who(cid) else {
                tracing::warn!(?cid, "refused a peer that is not an enclave of this parent");
                continue;
            };
            match member.host_connection() {
                Some(slot) => {
                    connections.spawn(Arc::clone(&self).connection(stream, member, slot));
                }
                None => Metrics::add(&self.metrics.host_refused),
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: BoxStream, member: Arc<Member>, _slot: Slot) {
        // A connection becomes at most one tunnel, which keeps its slot.
        let (tunnels, mut tunnel) = mpsc::channel(1);
        let service = service_fn(|request| {
            let (this, tunnels) = (Arc::clone(&self), tunnels.clone());
            let member = Arc::clone(&member);
            async move {
                Ok::<_, std::convert::Infallible>(this.answer(request, &member, tunnels).await)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "host service connection");
        }
        if let Ok(tunnel) = tunnel.try_recv() {
            let moved = Arc::clone(&self.metrics.egress_bytes);
            tokio::select! {
                () = tunnel.run(self.egress.now().idle, moved) => {}
                () = member.until_gone() => {}
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        member: &Arc<Member>,
        tunnels: mpsc::Sender<Tunnel>,
    ) -> Reply {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::CONNECT, _) => tunnel::open(self, member, request, &tunnels).await,
            (&Method::GET, paths::CONFIGURATION) => self.configuration().await,
            (&Method::GET, paths::ORDER) => self.keyset.order_reply().await,
            (&Method::POST, paths::ORDER_OUTCOME) => self.keyset.take_outcome(request).await,
            (&Method::GET, paths::KEYSET) => self.keyset.reply(request.headers()).await,
            (&Method::PUT, paths::KEYSET) => self.keyset.put(request, &self.metrics).await,
            (&Method::GET, paths::CREDENTIALS) => self.credentials.reply().await,
            (&Method::POST, paths::EVENTS) => self.take_events(member, request).await,
            (&Method::POST, paths::RECEIPTS) => self.pass_receipts(request).await,
            (&Method::POST, paths::METRICS) => lifecycle::take_metrics(member, request).await,
            (&Method::GET, paths::SHUTDOWN) => lifecycle::until_shutdown(member).await,
            (&Method::GET, record) if record.starts_with(paths::RECORDS) => {
                self.record(record).await
            }
            (&Method::PUT, record) if record.starts_with(paths::RECORDS) => {
                self.put_record(record, request).await
            }
            (
                _,
                paths::CONFIGURATION
                | paths::ORDER
                | paths::ORDER_OUTCOME
                | paths::KEYSET
                | paths::CREDENTIALS
                | paths::EVENTS
                | paths::RECEIPTS
                | paths::METRICS
                | paths::SHUTDOWN,
            ) => problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "another method is served here",
            ),
            _ => problem(StatusCode::NOT_FOUND, "there is no such host service"),
        }
    }

    async fn configuration(&self) -> Reply {
        match tokio::fs::read(&self.configuration_file).await {
            Ok(configuration) if configuration.len() <= MAX_CONFIGURATION_BYTES => {
                bytes(configuration, OCTETS)
            }
            Ok(_) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the deployment configuration is too large",
            ),
            Err(error) => {
                let file = self.configuration_file.display();
                tracing::error!("cannot read the deployment configuration {file}: {error}");
                problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the deployment configuration cannot be read",
                )
            }
        }
    }

    async fn take_events(&self, member: &Member, request: Request<Incoming>) -> Reply {
        match collect(request, events::MAX_BATCH_BYTES).await {
            Ok(batch) => {
                self.events.take(member.name(), &batch);
                status(StatusCode::NO_CONTENT)
            }
            Err(refusal) => refusal,
        }
    }

    async fn record(&self, path: &str) -> Reply {
        let fingerprint = path
            .strip_prefix(paths::RECORDS)
            .and_then(|text| text.parse::<Fingerprint>().ok());
        match fingerprint {
            Some(fingerprint) => self.records.reply(&fingerprint, &self.metrics).await,
            None => problem(StatusCode::BAD_REQUEST, "not a record fingerprint"),
        }
    }
}

async fn collect(request: Request<Incoming>, max_bytes: usize) -> Result<Bytes, Reply> {
    Limited::new(request.into_body(), max_bytes)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|_| {
            problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large or broken",
            )
        })
}

#[cfg(test)]
mod tests;
