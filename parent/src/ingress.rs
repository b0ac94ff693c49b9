//! From the network to an enclave: a relay of bytes. TLS ends inside the enclave.
use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinSet,
};

use crate::{
    configuration,
    fleet::Fleet,
    live::Live,
    metrics::Metrics,
    relay,
    slots::{Slot, Slots},
    stream::BoxStream,
};

/// A failing `accept` (no file descriptors left, most often) is retried after this long.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The ingress relay.
pub(crate) struct Ingress {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) slots: Slots,
    pub(crate) timeouts: Live<Timeouts>,
    pub(crate) metrics: Arc<Metrics>,
}

/// How long things may take.
pub(crate) struct Timeouts {
    connect: Duration,
    idle: Duration,
}

impl Timeouts {
    pub(crate) fn new(configuration: &configuration::Ingress) -> Self {
        Self {
            connect: Duration::from_millis(configuration.connect_timeout_ms),
            idle: Duration::from_secs(configuration.idle_timeout_s),
        }
    }
}

/// Where clients connect.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<BoxStream> {
        match self {
            Self::Tcp(listener) => {
                let (client, _) = listener.accept().await?;
                // Without it a relay waits for the acknowledgement of small records.
                if let Err(error) = client.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                Ok(Box::new(client))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

impl Ingress {
    /// Serves until dropped; connections end with it.
    pub(crate) async fn serve(self: Arc<Self>, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let client = match accepted {
                Ok(client) => client,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            match self.slots.take() {
                Some(slot) => {
                    connections.spawn(Arc::clone(&self).connection(client, slot));
                }
                None => Metrics::add(&self.metrics.ingress_refused),
            }
        }
    }

    async fn connection(self: Arc<Self>, client: BoxStream, _slot: Slot) {
        let timeouts = self.timeouts.now();
        let connection = match self.fleet.connect(timeouts.connect).await {
            Ok(connection) => connection,
            Err(error) => {
                Metrics::add(&self.metrics.enclave_unreachable);
                tracing::warn!(%error, "cannot reach an enclave");
                return;
            }
        };
        Metrics::add(&self.metrics.ingress_connections);
        let moved = Arc::clone(&self.metrics.ingress_bytes);
        let (enclave, member, _open) = (connection.stream, connection.member, connection.open);
        let relaying = relay::relay(client, enclave, timeouts.idle, moved);
        tokio::select! {
            ended = relaying => tracing::debug!(?ended, "ingress connection"),
            // A virtual machine that is gone may leave its streams open.
            () = member.until_gone() => tracing::debug!("ingress connection of an enclave that is gone"),
        }
    }
}
