//! Streams and listeners on the enclave's side: unix sockets, AF_VSOCK, or the first for the second.
use std::{future::Future, io, os::unix::fs::PermissionsExt, path::Path, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixListener, UnixStream},
};

use crate::configuration::{Endpoint, HostListener};

mod hybrid;
mod vsock;

/// Bytes in both directions, with half-close.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

pub(crate) type BoxStream = Box<dyn ByteStream>;

/// Connects to the enclave.
pub(crate) async fn connect(endpoint: &Endpoint, timeout: Duration) -> io::Result<BoxStream> {
    let connecting: Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>> = match endpoint {
        Endpoint::Unix(path) => Box::pin(async move {
            let stream = UnixStream::connect(path).await?;
            Ok(Box::new(stream) as BoxStream)
        }),
        Endpoint::HybridVsock { path, port } => Box::pin(async move {
            let stream = hybrid::connect(path, *port).await?;
            Ok(Box::new(stream) as BoxStream)
        }),
        Endpoint::Vsock { cid, port } => {
            let (cid, port) = (*cid, *port);
            Box::pin(async move {
                let stream = vsock::connect(cid, port).await?;
                Ok(Box::new(stream) as BoxStream)
            })
        }
    };
    tokio::time::timeout(timeout, connecting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Where the enclave connects to its host services.
pub(crate) enum Listener {
    Unix(UnixListener),
    Vsock(vsock::Listener),
}

impl Listener {
    pub(crate) fn bind(listener: &HostListener) -> io::Result<Self> {
        match listener {
            HostListener::Unix(path) => Self::bind_unix(path),
            HostListener::Vsock { port, .. } => Self::bind_vsock(*port),
        }
    }

    /// A unix socket that its owner alone may connect to.
    pub(crate) fn bind_unix(path: &Path) -> io::Result<Self> {
        Ok(Self::Unix(bind_unix(path, 0o600)?))
    }

    pub(crate) fn bind_vsock(port: u32) -> io::Result<Self> {
        Ok(Self::Vsock(vsock::Listener::bind(port)?))
    }

    /// The next stream, and over vsock the context identifier of who opened it: any local virtual
    /// machine could.
    pub(crate) async fn accept(&self) -> io::Result<(BoxStream, Option<u32>)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), None))
            }
            Self::Vsock(listener) => {
                let (stream, cid) = listener.accept().await?;
                Ok((Box::new(stream), Some(cid)))
            }
        }
    }
}

/// Binds `path`, in place of a socket that nobody listens on any more.
pub(crate) fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_over_a_dead_socket_and_no_live_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.sock");
        let listener = bind_unix(&path, 0o600).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            bind_unix(&path, 0o600).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(listener);
        assert!(bind_unix(&path, 0o600).is_ok());
    }

    #[tokio::test]
    async fn an_enclave_that_does_not_accept_is_given_up() {
        // Nothing answers on this CID; the kernel may also lack vsock. Either is an error in time.
        let endpoint = Endpoint::Vsock {
            cid: 4_000_000,
            port: 5000,
        };
        let started = std::time::Instant::now();
        assert!(
            connect(&endpoint, Duration::from_millis(200))
                .await
                .is_err()
        );
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
