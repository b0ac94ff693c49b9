//! Unix sockets in the place of AF_VSOCK.
use std::{
    io,
    path::{Path, PathBuf},
};

use dauth_enclave::platform::{BoxFuture, BoxStream, Transport};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::OnceCell,
};

/// The enclave's two sockets: one that it listens on, one of the parent's.
pub struct UnixTransport {
    listener: OnceCell<UnixListener>,
    ingress: PathBuf,
    host: PathBuf,
}

impl UnixTransport {
    /// Listens at `ingress` once asked for a stream. The parent's host services are at `host`.
    pub fn new(ingress: PathBuf, host: PathBuf) -> Self {
        Self {
            listener: OnceCell::new(),
            ingress,
            host,
        }
    }

    async fn listener(&self) -> io::Result<&UnixListener> {
        self.listener
            .get_or_try_init(|| async { self.bind() })
            .await
            .map_err(|e| named(&self.ingress, &e))
    }

    /// Listens, replacing what an earlier process left there.
    fn bind(&self) -> io::Result<UnixListener> {
        match std::fs::remove_file(&self.ingress) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(&self.ingress)
    }
}

impl Transport for UnixTransport {
    fn listen(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { self.listener().await.map(drop) })
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let (stream, _) = self.listener().await?.accept().await?;
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let stream = UnixStream::connect(&self.host).await?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

fn named(socket: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {}: {error}", socket.display()),
    )
}
