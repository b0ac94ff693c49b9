//! From the enclave to the network: names are resolved here, once, each address is judged, and the
//! very address that was judged is dialled.
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

pub mod address;
mod attempts;
pub mod names;
pub mod port;
pub mod target;

use address::Kind;
use names::{Hosts, HostsError};
use target::{Host, Target};

use crate::configuration;

/// How many addresses of one name are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Names that are looked up at one time. The system's resolver has a thread for each, of those that
/// all else needs as well, and keeps it for as long as a name server is silent.
const MAX_LOOKUPS: usize = 64;

/// Decides what the enclave may reach, and reaches it.
pub struct Guard {
    permit: Vec<IpNet>,
    deny: Vec<IpNet>,
    permit_ports: Vec<u16>,
    hosts: Hosts,
    resolver: Resolver,
    lookups: Arc<Semaphore>,
    resolve_timeout: Duration,
    connect_timeout: Duration,
}

/// Looks a name up.
type Resolver = Box<dyn Fn(String, u16) -> Lookup + Send + Sync>;
type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The target is not `host:port`.
    #[error(transparent)]
    Target(#[from] target::InvalidTarget),
    /// The port belongs to another protocol than HTTP.
    #[error("port {0} belongs to another protocol; [egress] permit_ports can allow it")]
    Port(u16),
    /// An address of the name may not be dialled.
    #[error("{host} is refused: {address} is {kind}; [egress] permit can allow it")]
    Refused {
        /// What was asked for.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What is wrong with that address.
        kind: Kind,
    },
    /// The operator has ruled an address of the name out.
    #[error("{host} is refused: {address} is in [egress] deny")]
    Denied {
        /// What was asked for.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("{0} does not resolve to an address")]
    Unresolved(String),
    /// No permitted address accepts.
    #[error("no address of {host} accepts a connection: {source}")]
    Unreachable {
        /// What was asked for.
        host: String,
        /// The last failure.
        source: io::Error,
    },
    /// Looking up or connecting took too long.
    #[error("{0} took too long to resolve or connect")]
    TimedOut(String),
}

impl Guard {
    /// A guard as configured; reads the hosts file.
    pub fn new(configuration: &configuration::Egress) -> Result<Self, HostsError> {
        let hosts = match &configuration.hosts_file {
            Some(file) => Hosts::load(file)?,
            None => Hosts::default(),
        };
        Ok(Self {
            permit: configuration.permit.clone(),
            deny: configuration.deny.clone(),
            permit_ports: configuration.permit_ports.clone(),
            hosts,
            resolver: Box::new(|name, port| Box::pin(look_up(name, port))),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            resolve_timeout: Duration::from_millis(configuration.resolve_timeout_ms),
            connect_timeout: Duration::from_millis(configuration.connect_timeout_ms),
        })
    }

    /// Connects to `target` (`host:port`), at whichever permitted address accepts first.
    pub async fn connect(&self, target: &str) -> Result<TcpStream, EgressError> {
        let target: Target = target.parse()?;
        self.judge_port(target.port)?;
        let host = target.host.to_string();
        let permitted = self.permitted_addresses(&target).await?;
        let within = self.connect_timeout;
        let dial = move |address| async move {
            let stream = timeout(within, TcpStream::connect(address)).await??;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connected = attempts::first_success(permitted, dial).await;
        connected.map_err(|failure| match failure {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => EgressError::TimedOut(host),
            Some(source) => EgressError::Unreachable { host, source },
            None => EgressError::Unresolved(host),
        })
    }

    /// The addresses that may be dialled; at least one.
    ///
    /// A name that has an address within the operator's network, among others, is refused as a whole:
    /// it is made to be taken for another, or a mistake. Only addresses that DNS64 adds to every name
    /// (RFC 6147) are passed over.
    async fn permitted_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let mut passed_over = None;
        let mut permitted = Vec::new();
        for address in self.resolve(target).await? {
            if self.deny.iter().any(|net| net.contains(&address)) {
                let host = target.host.to_string();
                return Err(EgressError::Denied { host, address });
            }
            let refused = |kind| EgressError::Refused {
                host: target.host.to_string(),
                address,
                kind,
            };
            match self.judge(address) {
                Ok(()) => permitted.push(SocketAddr::new(address, target.port)),
                Err(Kind::Nat64) => passed_over = Some(refused(Kind::Nat64)),
                Err(kind) => return Err(refused(kind)),
            }
        }
        let mut permitted = attempts::interleaved(permitted);
        permitted.truncate(MAX_ADDRESSES);
        match (permitted.is_empty(), passed_over) {
            (false, _) => Ok(permitted),
            (true, Some(refused)) => Err(refused),
            (true, None) => Err(EgressError::Unresolved(target.host.to_string())),
        }
    }

    fn judge_port(&self, port: u16) -> Result<(), EgressError> {
        match port::is_of_another_protocol(port) && !self.permit_ports.contains(&port) {
            true => Err(EgressError::Port(port)),
            false => Ok(()),
        }
    }

    fn judge(&self, address: IpAddr) -> Result<(), Kind> {
        match address::refused_kind(address) {
            Some(kind) if !self.permit.iter().any(|net| net.contains(&address)) => Err(kind),
            _ => Ok(()),
        }
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, EgressError> {
        let name = match &target.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        if let Some(addresses) = self.hosts.addresses(name) {
            return Ok(addresses.to_vec());
        }
        let looking_up = self.look_up(name, target.port);
        match timeout(self.resolve_timeout, looking_up).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => {
                tracing::debug!(%error, name, "lookup");
                Err(EgressError::Unresolved(name.clone()))
            }
            Err(_) => Err(EgressError::TimedOut(name.clone())),
        }
    }
}

impl Guard {
    /// A lookup has its place until it ends, also after its caller has given up.
    async fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        let place = Arc::clone(&self.lookups).acquire_owned();
        let place = place.await.map_err(io::Error::other)?;
        let looking_up = (self.resolver)(name.to_owned(), port);
        let lookup = tokio::spawn(async move {
            let _place = place;
            looking_up.await
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// By the system's resolver.
async fn look_up(name: String, port: u16) -> io::Result<Vec<IpAddr>> {
    let addresses = tokio::net::lookup_host((name, port)).await?;
    Ok(addresses.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;
