//! The running program.
use std::{future::Future, io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

use crate::{
    app::App,
    clock,
    configuration::{Configuration, InvalidConfiguration},
    identity::tls_identity,
    listener::{self, Limits, Security},
    private_file, retention, routes,
    signing_key::SigningKey,
    store::{Store, StoreError},
};

/// Why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration does not make sense.
    #[error("configuration: {0}")]
    Configuration(#[from] InvalidConfiguration),
    /// A key or directory could not be read or made.
    #[error("state directory {path}: {source}")]
    State {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database does not open.
    #[error("store {path}: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The https key does not do for TLS.
    #[error("the https identity is not usable: {0}")]
    Tls(#[from] rustls::Error),
    /// No random bytes.
    #[error("the system's random source failed")]
    Random,
}

/// Runs the control plane until `shutdown`.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    Server::bind(&configuration).await?.serve(shutdown).await;
    Ok(())
}

/// A control plane that listens and does not answer yet: its addresses are known.
pub struct Server {
    app: Arc<App>,
    http: TcpListener,
    https: TcpListener,
    tls: TlsAcceptor,
    spki_sha256: String,
}

impl Server {
    /// Loads or creates keys and database, and takes the addresses.
    pub async fn bind(configuration: &Configuration) -> Result<Self, RunError> {
        let settings = configuration.check()?;
        let state_dir = &configuration.state_dir;
        let state = |source| RunError::State {
            path: state_dir.clone(),
            source,
        };
        private_file::create_directory(state_dir).map_err(state)?;
        let identity = tls_identity(state_dir).map_err(state)?;
        let key = SigningKey::load_or_create(state_dir).map_err(state)?;
        let store = Store::open(&settings.store)
            .await
            .map_err(|source| RunError::Store {
                path: settings.store.clone(),
                source,
            })?;
        let tls = TlsAcceptor::from(identity.server_config()?);
        let app = App::new(settings, key, store, clock::now_s()).map_err(|_| RunError::Random)?;
        Ok(Self {
            app: Arc::new(app),
            http: listen(configuration.listen).await?,
            https: listen(configuration.listen_tls).await?,
            tls,
            spki_sha256: identity.spki_sha256,
        })
    }

    /// Where clients connect.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Where the enclave connects.
    pub fn https_address(&self) -> io::Result<SocketAddr> {
        self.https.local_addr()
    }

    /// The pin of the https key: SHA-256 of its SubjectPublicKeyInfo, lower-case hexadecimal.
    pub fn spki_sha256(&self) -> &str {
        &self.spki_sha256
    }

    /// Serves until `shutdown`, finishes what is under way, and closes the database.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        tracing::info!(
            issuer = %self.app.settings.issuer, http = ?self.http.local_addr().ok(),
            https = ?self.https.local_addr().ok(), spki_sha256 = %self.spki_sha256,
            kid = %self.app.key.kid(), "the control plane is ready"
        );
        let (stop, stopped) = watch::channel(());
        let until_stopped = |mut stopped: watch::Receiver<()>| async move {
            // An error says that the sender is gone, which is the signal.
            let _ = stopped.changed().await;
        };
        let http = listener::serve(
            self.http,
            Security::Plain,
            routes::public(&self.app),
            Limits::default(),
            until_stopped(stopped.clone()),
        );
        let https = listener::serve(
            self.https,
            Security::Tls(self.tls),
            routes::enclave(&self.app),
            Limits::default(),
            until_stopped(stopped.clone()),
        );
        let retention = retention::run(&self.app, until_stopped(stopped));
        let signal = async move {
            shutdown.await;
            drop(stop);
        };
        tokio::join!(http, https, retention, signal);
        self.app.store.close().await;
        tracing::info!("the control plane has stopped");
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })
}
