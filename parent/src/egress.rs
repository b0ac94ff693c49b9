//! From the enclave to the network: names are resolved here, each address is judged, and the very
//! address that was judged is dialled.
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{net::TcpStream, time::timeout};

pub mod address;
pub mod names;
pub mod target;

use address::Kind;
use names::{Hosts, HostsError};
use target::{Host, Target};

use crate::configuration;

/// How many addresses of one name are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Decides what the enclave may reach, and reaches it.
pub struct Guard {
    permit: Vec<IpNet>,
    hosts: Hosts,
    resolve_timeout: Duration,
    connect_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The target is not `host:port`.
    #[error(transparent)]
    Target(#[from] target::InvalidTarget),
    /// No address of the name may be dialled.
    #[error("{host} is refused: {address} is {kind}; [egress] permit can allow it")]
    Refused {
        /// What was asked for.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What is wrong with that address.
        kind: Kind,
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
            hosts,
            resolve_timeout: Duration::from_millis(configuration.resolve_timeout_ms),
            connect_timeout: Duration::from_millis(configuration.connect_timeout_ms),
        })
    }

    /// Connects to `target` (`host:port`), each permitted address in turn.
    pub async fn connect(&self, target: &str) -> Result<TcpStream, EgressError> {
        let target: Target = target.parse()?;
        let host = target.host.to_string();
        let mut last_failure = None;
        for address in self.permitted_addresses(&target).await? {
            match timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream
                        .set_nodelay(true)
                        .map_err(|source| EgressError::Unreachable { host, source })?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last_failure = Some(error),
                Err(_) => last_failure = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(match last_failure {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => EgressError::TimedOut(host),
            Some(source) => EgressError::Unreachable { host, source },
            None => EgressError::Unresolved(host),
        })
    }

    /// The addresses that may be dialled; at least one.
    async fn permitted_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in self.resolve(target).await? {
            match self.judge(address) {
                Ok(()) => permitted.push(SocketAddr::new(address, target.port)),
                Err(kind) => refused = Some((address, kind)),
            }
        }
        permitted.truncate(MAX_ADDRESSES);
        match (permitted.is_empty(), refused) {
            (false, _) => Ok(permitted),
            (true, Some((address, kind))) => Err(EgressError::Refused {
                host: target.host.to_string(),
                address,
                kind,
            }),
            (true, None) => Err(EgressError::Unresolved(target.host.to_string())),
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
        let looking_up = tokio::net::lookup_host((name.as_str(), target.port));
        match timeout(self.resolve_timeout, looking_up).await {
            Ok(Ok(addresses)) => Ok(addresses.map(|address| address.ip()).collect()),
            Ok(Err(error)) => {
                tracing::debug!(%error, name, "lookup");
                Err(EgressError::Unresolved(name.clone()))
            }
            Err(_) => Err(EgressError::TimedOut(name.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
