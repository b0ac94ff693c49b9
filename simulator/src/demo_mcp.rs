//! A demo MCP server: streamable HTTP at `/mcp`, protected by `dauth-mcp`, with tools that reach an
//! API through the enclave. It never sees the credential.
use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::Router;
use dauth_mcp::{
    Dispatcher, DpopNonces, ProtectedResource, ResourceUri, SetupError,
    configuration::{Client, ConfigurationError, Enclave},
    protect,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

mod tools;

use tools::DemoServer;

use crate::monitor::monitored;

/// The demo MCP server's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Where to serve.
    pub listen: SocketAddr,
    /// The server's resource identifier; its path is where MCP is served.
    pub resource: ResourceUri,
    /// The authorization server, byte for byte.
    pub issuer: String,
    /// The scopes that every request needs.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether clients' proofs need nonces. The official SDK's client cannot answer a nonce
    /// challenge, hence `optional` here.
    #[serde(default = "optional")]
    pub dpop_nonces: DpopNonces,
    /// The server's client at the authorization server, and its key.
    pub client: Client,
    /// The enclave.
    pub enclave: Enclave,
}

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is not usable.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The resource cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address} for the demo MCP server: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Serving failed.
    #[error("the demo MCP server stopped serving: {0}")]
    Serve(std::io::Error),
}

/// Serves until `shutdown` ends.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let address = configuration.listen;
    let router = router(&configuration)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(listen = %address, "the demo MCP server serves");
    let serving = axum::serve(listener, router).into_future();
    // Clients keep event streams open for as long as they like: they end with us.
    tokio::select! {
        served = serving => served.map_err(RunError::Serve),
        () = shutdown => Ok(()),
    }
}

fn router(configuration: &Configuration) -> Result<Router, RunError> {
    let dispatcher = configuration
        .client
        .dispatcher(&configuration.issuer, &configuration.enclave)?;
    let resource = ProtectedResource::new(configuration.resource.clone(), &configuration.issuer)?
        .with_scopes(configuration.scopes.iter().cloned())
        .with_keys([dispatcher.key().jwk()])
        .with_nonces(configuration.dpop_nonces);
    let path = match configuration.resource.path() {
        "" => "/",
        path => path,
    };
    let mcp = Router::new().route_service(path, mcp_service(configuration, dispatcher));
    Ok(monitored(protect(&Arc::new(resource), mcp), "mcp"))
}

fn mcp_service(
    configuration: &Configuration,
    dispatcher: Dispatcher,
) -> StreamableHttpService<DemoServer, LocalSessionManager> {
    let dispatcher = Arc::new(dispatcher);
    let authority = configuration.resource.origin().split_once("://");
    let hosts = authority.map(|(_, authority)| authority);
    // Each request stands for itself: the caller of one is never taken for the caller of another.
    let http = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(hosts)
        .enforce_origin_validation();
    StreamableHttpService::new(
        move || Ok(DemoServer::new(Arc::clone(&dispatcher))),
        Arc::default(),
        http,
    )
}

fn optional() -> DpopNonces {
    DpopNonces::Optional
}

#[cfg(test)]
mod tests;
