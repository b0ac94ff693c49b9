//! From the network to the enclave: a relay of bytes. TLS ends inside the enclave.
use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    configuration,
    metrics::Metrics,
    relay,
    slots::{Slot, Slots},
    stream,
};

/// A failing `accept` (no file descriptors left, most often) is retried after this long.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The ingress relay.
pub(crate) struct Ingress {
    pub(crate) configuration: configuration::Ingress,
    pub(crate) metrics: Arc<Metrics>,
}

impl Ingress {
    /// Serves until dropped; connections end with it.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let slots = Slots::new(self.configuration.max_connections);
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let client = match accepted {
                Ok((client, _)) => client,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            match slots.take() {
                Some(slot) => {
                    connections.spawn(Arc::clone(&this).connection(client, slot));
                }
                None => Metrics::add(&this.metrics.ingress_refused),
            }
        }
    }

    async fn connection(self: Arc<Self>, client: TcpStream, _slot: Slot) {
        let timeout = Duration::from_millis(self.configuration.connect_timeout_ms);
        let enclave = match stream::connect(&self.configuration.enclave, timeout).await {
            Ok(enclave) => enclave,
            Err(error) => {
                Metrics::add(&self.metrics.enclave_unreachable);
                tracing::warn!(%error, "cannot reach the enclave");
                return;
            }
        };
        // Without it a relay waits for the acknowledgement of small records.
        if let Err(error) = client.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Metrics::add(&self.metrics.ingress_connections);
        let idle = Duration::from_secs(self.configuration.idle_timeout_s);
        let moved = Arc::clone(&self.metrics.ingress_bytes);
        let ended = relay::relay(client, enclave, idle, moved).await;
        tracing::debug!(?ended, "ingress connection");
    }
}
