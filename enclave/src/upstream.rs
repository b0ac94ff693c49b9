//! Connections to upstreams: TLS that ends in here, over byte streams that the parent relays.
//!
//! Invariant: SNI, certificate name, `Host` and the dialled authority are one value, the policy's
//! base URL (tests: `the_certificate_must_bear_the_base_urls_host`, in [`crate::call`]).
mod connection;
mod outgoing;
mod pool;

use std::sync::Arc;

use dauth_protocol::{BaseUrl, Code};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

pub(crate) use self::{
    connection::{Connection, NoReply, Sent, TIMED_OUT},
    outgoing::{Outgoing, OutgoingError},
    pool::{Lease, Origin, PoolKey, PoolOwner},
};
use crate::{host::HostServices, refusal::Refusal};

/// Calls upstreams.
pub struct Upstream {
    host: HostServices,
    tls: Arc<ClientConfig>,
    pool: Arc<pool::Pool>,
}

/// The TLS configuration could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TLS client configuration could not be made")]
pub struct TlsClientError;

impl Upstream {
    /// Reaches upstreams through `host`; their certificates must chain to one of `roots`.
    ///
    /// Needs a Tokio runtime: idle connections are closed by a task, which ends with the value.
    pub fn new(host: HostServices, roots: Arc<RootCertStore>) -> Result<Self, TlsClientError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| TlsClientError)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // HTTP/2 would keep the secret in the tables and buffers of the library.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A ticket would tie the calls of different callers together.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            host,
            tls: Arc::new(tls),
            pool: pool::Pool::new(),
        })
    }

    /// A connection for `key`: an idle one, or else a new one.
    pub(crate) async fn lease(&self, key: PoolKey, base: &BaseUrl) -> Result<Lease, Refusal> {
        match self.pool.take(&key).await {
            Some(connection) => Ok(Lease::new(connection, key, &self.pool, Origin::Pool)),
            None => self.lease_new(key, base).await,
        }
    }

    /// A new connection for `key`.
    pub(crate) async fn lease_new(&self, key: PoolKey, base: &BaseUrl) -> Result<Lease, Refusal> {
        let name = ServerName::try_from(base.host().to_owned())
            .map_err(|_| Refusal::new(Code::PolicyDenied, "the policy's host is no name"))?;
        let stream = self.host.connect(&base.connect_target()).await?;
        let connection = Connection::open(stream, name, Arc::clone(&self.tls)).await?;
        Ok(Lease::new(connection, key, &self.pool, Origin::New))
    }
}
