//! All of the parent, from its configuration to its end.
use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Configuration,
    configuration::{Endpoint, HostListener, InvalidEnclaves, Transport},
    egress::names::HostsError,
    fleet::{Fleet, Member, Reach},
    host::{
        Callers, Credentials, CredentialsError, Egress, Events, HostServices, KeysetFile, Records,
        RecordsError,
    },
    ingress::{self, Ingress, Timeouts},
    live::Live,
    metrics::Metrics,
    monitor::Monitor,
    reload::{Parts, Reloader},
    slots::Slots,
    stream::{Listener, bind_unix},
    supervisor::Supervisor,
};

/// Anyone on this host may connect to the ingress, as anyone on the network may.
const INGRESS_MODE: u32 = 0o666;
/// The label of an enclave that is not supervised.
const ALONE: &str = "enclave";

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
    /// The enclaves are not described as a parent can have them.
    #[error(transparent)]
    Enclaves(#[from] InvalidEnclaves),
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

/// A parent that has bound all its listeners and serves nothing yet.
pub struct Parent {
    parts: Arc<Parts>,
    ingress: Vec<ingress::Listener>,
    host: Option<(Listener, Callers)>,
    monitor: Option<TcpListener>,
    metrics: Arc<Metrics>,
}

/// Serves until `shutdown` ends. All listeners are bound before anything is served.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let parent = Parent::bind(configuration).await?;
    parent.serve(shutdown).await
}

impl Parent {
    /// Binds every listener and reads every secret: what a process may need more rights for than to
    /// serve. In the runtime that it is to serve in.
    pub async fn bind(configuration: Configuration) -> Result<Self, RunError> {
        configuration.check()?;
        let metrics = Arc::new(Metrics::default());
        let fleet = Arc::new(Fleet::default());
        let ingress = bind_ingress(&configuration).await?;
        let host = bind_host(&configuration, &fleet)?;
        let monitor = match &configuration.monitor {
            Some(monitor) => Some(bind_tcp(monitor.listen, "monitor").await?),
            None => None,
        };
        let services = Arc::new(HostServices {
            credentials: Credentials::new(&configuration.host, Arc::clone(&metrics))?,
            configuration_file: configuration.host.configuration_file.clone(),
            keyset: KeysetFile::new(configuration.host.keyset_file.clone()),
            records: Records::new(&configuration.records)?,
            events: Events::to_log(Arc::clone(&metrics)).map_err(RunError::Events)?,
            egress: Live::new(Egress::new(&configuration.egress)?),
            metrics: Arc::clone(&metrics),
        });
        let relay = Ingress {
            fleet: Arc::clone(&fleet),
            slots: Slots::new(configuration.ingress.max_connections),
            timeouts: Live::new(Timeouts::new(&configuration.ingress)),
            metrics: Arc::clone(&metrics),
        };
        let supervisor = (!configuration.enclaves.is_empty()).then(|| {
            Arc::new(Supervisor::new(
                configuration.supervisor.clone().unwrap_or_default(),
                Arc::clone(&fleet),
                Arc::clone(&services),
                configuration.host.max_connections,
                Arc::clone(&metrics),
            ))
        });
        let parts = Arc::new(Parts {
            applied: Mutex::new(configuration),
            fleet,
            host: services,
            ingress: Arc::new(relay),
            supervisor,
        });
        Ok(Self {
            parts,
            ingress,
            host,
            monitor,
            metrics,
        })
    }

    /// What applies another configuration while this serves.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.parts))
    }

    /// Serves until `shutdown` ends.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let parts = self.parts;
        let mut serving = JoinSet::new();
        if let Some(listener) = self.monitor {
            let monitor = Monitor {
                fleet: Arc::clone(&parts.fleet),
                metrics: self.metrics,
            };
            serving.spawn(monitor.serve(listener));
        }
        for listener in self.ingress {
            serving.spawn(Arc::clone(&parts.ingress).serve(listener));
        }
        if let Some((listener, callers)) = self.host {
            serving.spawn(Arc::clone(&parts.host).serve(listener, callers));
        }
        tracing::info!("the parent serves");
        let supervised = async {
            if let Some(supervisor) = &parts.supervisor {
                let enclaves = parts.enclaves();
                supervisor.start(&enclaves).await;
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            _ = serving.join_next() => Err(RunError::Stopped),
            () = supervised => Err(RunError::Stopped),
        };
        if let Some(supervisor) = &parts.supervisor {
            supervisor.stop().await;
        }
        ended
    }
}

async fn bind_ingress(configuration: &Configuration) -> Result<Vec<ingress::Listener>, RunError> {
    let tcp = bind_tcp(configuration.ingress.listen, "ingress").await?;
    let mut listeners = vec![ingress::Listener::Tcp(tcp)];
    if let Some(path) = &configuration.ingress.listen_unix {
        let bound = bind_unix(path, INGRESS_MODE);
        let unix = bound.map_err(|source| cannot_listen(path.display(), "ingress", source))?;
        listeners.push(ingress::Listener::Unix(unix));
    }
    Ok(listeners)
}

/// The listener of host services, unless each enclave has one of its own.
fn bind_host(
    configuration: &Configuration,
    fleet: &Arc<Fleet>,
) -> Result<Option<(Listener, Callers)>, RunError> {
    let (host, ingress) = (&configuration.host, &configuration.ingress);
    match (&host.listen, &ingress.enclave) {
        (Some(listen), Some(endpoint)) => {
            let alone = alone(endpoint.clone(), host.max_connections);
            fleet.add(Arc::clone(&alone));
            let cid = match listen {
                HostListener::Unix(_) => None,
                HostListener::Vsock { peer_cid, .. } => Some(*peer_cid),
            };
            Ok(Some((bind(listen)?, Callers::One(alone, cid))))
        }
        _ => {
            let supervisor = configuration.supervisor.clone().unwrap_or_default();
            match supervisor.transport {
                Transport::Unix(folder) => check_folder(&folder).map(|()| None),
                Transport::Vsock { host_port, .. } => {
                    let bound = Listener::bind_vsock(host_port);
                    let address = format!("vsock port {host_port}");
                    let listener = bound.map_err(|e| cannot_listen(address, HOST, e))?;
                    Ok(Some((listener, Callers::Each(Arc::clone(fleet)))))
                }
            }
        }
    }
}

fn alone(endpoint: Endpoint, max_connections: usize) -> Arc<Member> {
    let member = Member::new(ALONE.to_owned(), endpoint, Reach::Alone, max_connections);
    Arc::new(member)
}

const HOST: &str = "host services";

fn bind(listen: &HostListener) -> Result<Listener, RunError> {
    let address = match listen {
        HostListener::Unix(path) => path.display().to_string(),
        HostListener::Vsock { port, .. } => format!("vsock port {port}"),
    };
    Listener::bind(listen).map_err(|source| cannot_listen(address, HOST, source))
}

/// Sockets are made in it later, one for each enclave.
fn check_folder(folder: &Path) -> Result<(), RunError> {
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) => Err(error),
    }
    .map_err(|source| cannot_listen(folder.display(), HOST, source))
}

async fn bind_tcp(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, RunError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| cannot_listen(address, purpose, source))
}

fn cannot_listen(
    address: impl std::fmt::Display,
    purpose: &'static str,
    source: io::Error,
) -> RunError {
    RunError::Listen {
        address: address.to_string(),
        purpose,
        source,
    }
}
