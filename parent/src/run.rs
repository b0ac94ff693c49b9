//! All of the parent, from its configuration to its end.
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Configuration,
    configuration::HostListener,
    egress::{Guard, names::HostsError},
    host::{
        Credentials, CredentialsError, Events, HostServices, KeysetFile, Records, RecordsError,
    },
    ingress::Ingress,
    metrics::Metrics,
    monitor::Monitor,
    stream::Listener,
};

/// Why the parent did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is taken, or not ours.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// The configuration's section.
        purpose: &'static str,
        /// Why.
        source: io::Error,
    },
    /// `[egress]` is not usable.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// `[records]` is not usable.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// `[host]` says nothing usable of credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The thread that writes events does not start.
    #[error("cannot start the thread that writes events: {0}")]
    Events(io::Error),
    /// A part ended that serves for ever.
    #[error("a part of the parent stopped serving")]
    Stopped,
}

/// Serves until `shutdown` ends. All listeners are bound before anything is served.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::default());
    let ingress_listener = bind_tcp(configuration.ingress.listen, "ingress").await?;
    let host_listener = bind_host(&configuration.host.listen)?;
    let host = HostServices {
        credentials: Credentials::new(&configuration.host, Arc::clone(&metrics))?,
        configuration_file: configuration.host.configuration_file,
        keyset: KeysetFile::new(configuration.host.keyset_file),
        records: Records::new(&configuration.records)?,
        events: Events::to_log(Arc::clone(&metrics)).map_err(RunError::Events)?,
        guard: Guard::new(&configuration.egress)?,
        tunnel_idle: Duration::from_secs(configuration.egress.idle_timeout_s),
        max_connections: configuration.host.max_connections,
        metrics: Arc::clone(&metrics),
    };
    let mut parts = JoinSet::new();
    if let Some(monitor) = configuration.monitor {
        let listener = bind_tcp(monitor.listen, "monitor").await?;
        let enclave = configuration.ingress.enclave.clone();
        let metrics = Arc::clone(&metrics);
        parts.spawn(Monitor { enclave, metrics }.serve(listener));
    }
    tracing::info!(listen = %configuration.ingress.listen, "the parent serves");
    let ingress = Ingress {
        configuration: configuration.ingress,
        metrics,
    };
    parts.spawn(ingress.serve(ingress_listener));
    parts.spawn(host.serve(host_listener));
    tokio::select! {
        () = shutdown => Ok(()),
        _ = parts.join_next() => Err(RunError::Stopped),
    }
}

async fn bind_tcp(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen {
            address: address.to_string(),
            purpose,
            source,
        })
}

fn bind_host(listener: &HostListener) -> Result<Listener, RunError> {
    Listener::bind(listener).map_err(|source| RunError::Listen {
        address: match listener {
            HostListener::Unix(path) => path.display().to_string(),
            HostListener::Vsock { port, .. } => format!("vsock port {port}"),
        },
        purpose: "host services",
        source,
    })
}
