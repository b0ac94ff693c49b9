//! Unix sockets in the place of AF_VSOCK.
use std::{
    io,
    path::{Path, PathBuf},
};

use dauth_enclave::platform::{BoxFuture, BoxStream, Transport};
use tokio::net::{UnixListener, UnixStream};

/// The enclave's two sockets: one that it listens on, one of the parent's.
pub struct UnixTransport {
    listener: UnixListener,
    host: PathBuf,
}

impl UnixTransport {
    /// Listens at `ingress`, replacing what an earlier process left there. The parent's host
    /// services are at `host`.
    pub fn listen(ingress: &Path, host: &Path) -> io::Result<Self> {
        match std::fs::remove_file(ingress) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(ingress)?, host: host.to_owned() })
    }
}

impl Transport for UnixTransport {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let (stream, _) = self.listener.accept().await?;
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
