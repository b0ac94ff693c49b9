//! AF_VSOCK under tokio.
#![expect(
    unsafe_code,
    reason = "AsyncFd asks its caller to vouch for the descriptor"
)]
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    sync::Semaphore,
};
use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

/// How much one poll reads at most.
const READ_BYTES: usize = 16 * 1024;

pub(super) struct Stream(AsyncFd<VsockStream>);

/// Connections that are being made at one time: each has a thread for as long as the kernel waits
/// for the enclave, and other work needs threads as well.
static CONNECTING: Semaphore = Semaphore::const_new(128);

/// `VsockStream::connect` blocks for as long as the kernel likes, so it has a thread of its own;
/// the caller sets the deadline.
pub(super) async fn connect(cid: u32, port: u32) -> io::Result<Stream> {
    let place = CONNECTING.acquire().await.map_err(io::Error::other)?;
    let connecting = tokio::task::spawn_blocking(move || {
        // Kept to the end, also when the caller has given up.
        let _place = place;
        VsockStream::connect_with_cid_port(cid, port)
    });
    Stream::new(connecting.await.map_err(io::Error::other)??)
}

impl Stream {
    fn new(stream: VsockStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // SAFETY: a `VsockStream` owns one descriptor, open and unchanged until it is dropped, and
        // no code here takes it out of the `AsyncFd`.
        let stream = unsafe { AsyncFd::register(stream) }?;
        Ok(Self(stream))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let wanted = buffer.remaining().min(READ_BYTES);
            let unfilled = buffer.initialize_unfilled_to(wanted);
            if let Ok(read) = guard.try_io(|fd| fd.get_ref().read(unfilled)) {
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
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = guard.try_io(|fd| fd.get_ref().write(bytes)) {
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

pub(crate) struct Listener(AsyncFd<VsockListener>);

impl Listener {
    pub(super) fn bind(port: u32) -> io::Result<Self> {
        let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, port)?;
        listener.set_nonblocking(true)?;
        // SAFETY: as for the stream: one descriptor, open and unchanged until the drop.
        let listener = unsafe { AsyncFd::register(listener) }?;
        Ok(Self(listener))
    }

    /// The next stream, and the context identifier of its peer.
    pub(super) async fn accept(&self) -> io::Result<(Stream, u32)> {
        let (stream, peer) = self
            .0
            .async_io(Interest::READABLE, VsockListener::accept)
            .await?;
        Ok((Stream::new(stream)?, peer.cid()))
    }
}
