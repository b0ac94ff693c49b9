//! `CONNECT`: a tunnel to a destination that the guard lets pass.
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::{Request, StatusCode};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc};

use super::{HostServices, Reply, problem, status};
use crate::{egress::EgressError, fleet::Member, metrics::Metrics, relay, slots::Slot};

/// An open connection, and the stream that the enclave's connection is about to become.
pub(super) struct Tunnel {
    upgrade: OnUpgrade,
    upstream: TcpStream,
    place: Slot,
}

/// Answers `CONNECT host:port`; the connection is made before the answer.
pub(super) async fn open(
    services: &HostServices,
    member: &Member,
    mut request: Request<Incoming>,
    tunnels: &mpsc::Sender<Tunnel>,
) -> Reply {
    let Some(place) = member.tunnel() else {
        Metrics::add(&services.metrics.host_refused);
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "this enclave has as many tunnels as it may",
        );
    };
    let target = request.uri().authority().map(ToString::to_string);
    let egress = services.egress.now();
    let opened = egress.guard.connect(&target.unwrap_or_default()).await;
    let upstream = match opened {
        Ok(upstream) => upstream,
        Err(error) => return refuse(&error, &services.metrics),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let tunnel = Tunnel {
        upgrade,
        upstream,
        place,
    };
    match tunnels.try_send(tunnel) {
        Ok(()) => {
            Metrics::add(&services.metrics.egress_tunnels);
            status(StatusCode::OK)
        }
        Err(_) => problem(
            StatusCode::BAD_REQUEST,
            "this connection is a tunnel already",
        ),
    }
}

fn refuse(error: &EgressError, metrics: &Metrics) -> Reply {
    let (counter, status) = match error {
        EgressError::Target(_)
        | EgressError::Port(_)
        | EgressError::Refused { .. }
        | EgressError::Denied { .. } => (&metrics.egress_refused, StatusCode::FORBIDDEN),
        EgressError::Unresolved(_) | EgressError::Unreachable { .. } => {
            (&metrics.egress_failed, StatusCode::BAD_GATEWAY)
        }
        EgressError::TimedOut(_) => (&metrics.egress_failed, StatusCode::GATEWAY_TIMEOUT),
    };
    Metrics::add(counter);
    tracing::warn!("egress: {error}");
    problem(status, &error.to_string())
}

impl Tunnel {
    /// Relays until either side is done.
    pub(super) async fn run(self, idle: Duration, moved: Arc<AtomicU64>) {
        let Self {
            upgrade,
            upstream,
            place: _place,
        } = self;
        match upgrade.await {
            Ok(upgraded) => {
                let ended = relay::relay(TokioIo::new(upgraded), upstream, idle, moved).await;
                tracing::debug!(?ended, "tunnel");
            }
            Err(error) => tracing::debug!(%error, "tunnel"),
        }
    }
}
