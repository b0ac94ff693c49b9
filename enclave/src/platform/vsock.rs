//! AF_VSOCK on tokio: one listener for ingress, one port of the parent for host services.
#![allow(unsafe_code)]

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use dauth_protocol::{host, limit::MAX_VSOCK_WRITE_BYTES};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd},
    sync::OnceCell,
    task::spawn_blocking,
    time::timeout,
};
use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

use super::{BoxFuture, BoxStream, Transport};

/// Time that the parent has to accept a stream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams between a Nitro enclave and its parent.
pub struct Vsock {
    listener: OnceCell<AsyncFd<VsockListener>>,
    parent_cid: u32,
}

impl Vsock {
    /// Listens on the ingress port once asked for a stream. `parent_cid` is 3 on EC2 and 2 under
    /// QEMU.
    pub fn new(parent_cid: u32) -> Self {
        Self {
            listener: OnceCell::new(),
            parent_cid,
        }
    }

    async fn listener(&self) -> io::Result<&AsyncFd<VsockListener>> {
        self.listener
            .get_or_try_init(|| async { Self::listen() })
            .await
    }

    fn listen() -> io::Result<AsyncFd<VsockListener>> {
        let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, host::INGRESS_PORT)?;
        listener.set_nonblocking(true)?;
        // SAFETY: the listener owns its descriptor, and nothing here closes or replaces it before
        // the AsyncFd is dropped.
        Ok(unsafe { AsyncFd::register(listener) }?)
    }
}

impl Transport for Vsock {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let listener = self.listener().await?;
            loop {
                let mut ready = listener.readable().await?;
                if let Ok(accepted) = ready.try_io(|listener| listener.get_ref().accept()) {
                    let (stream, _) = accepted?;
                    return Ok(Box::new(Stream::new(stream)?) as BoxStream);
                }
            }
        })
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let cid = self.parent_cid;
        Box::pin(async move {
            // `connect` blocks, and the crate has no other.
            let connect = spawn_blocking(move || {
                VsockStream::connect_with_cid_port(cid, host::HOST_SERVICES_PORT)
            });
            let stream = timeout(CONNECT_TIMEOUT, connect)
                .await
                .map_err(|_| io::ErrorKind::TimedOut)???;
            Ok(Box::new(Stream::new(stream)?) as BoxStream)
        })
    }
}

/// One stream, with half-close.
struct Stream(AsyncFd<VsockStream>);

impl Stream {
    fn new(stream: VsockStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // SAFETY: the stream owns its descriptor, and nothing here closes or replaces it before the
        // AsyncFd is dropped.
        Ok(Self(unsafe { AsyncFd::register(stream) }?))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let unfilled = buffer.initialize_unfilled();
            if let Ok(read) = ready.try_io(|stream| stream.get_ref().read(unfilled)) {
                buffer.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Some kernels stall on single writes above 32 KiB.
        let (bytes, _) = bytes.split_at(bytes.len().min(MAX_VSOCK_WRITE_BYTES));
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|stream| stream.get_ref().write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}
