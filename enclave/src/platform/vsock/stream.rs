//! Streams over a descriptor that never blocks. They are the same for every family of sockets.
#![allow(unsafe_code)]

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::fd::AsRawFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use dauth_protocol::limit::MAX_VSOCK_WRITE_BYTES;
use socket2::{SockAddr, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

/// `SO_VM_SOCKETS_BUFFER_SIZE` of Linux's `vm_sockets.h`, at the level AF_VSOCK.
const BUFFER_SIZE_OPTION: libc::c_int = 0;
/// Its value is a u64.
const BUFFER_SIZE_OPTION_BYTES: libc::socklen_t = 8;

/// One stream, with half-close.
pub(super) struct Stream(AsyncFd<Socket>);

/// The next stream of a listener.
pub(super) async fn accept(listener: &AsyncFd<Socket>) -> io::Result<Stream> {
    loop {
        let mut ready = listener.readable().await?;
        if let Ok(accepted) = ready.try_io(|listener| listener.get_ref().accept()) {
            let (socket, _) = accepted?;
            return Stream::new(socket);
        }
    }
}

/// Connects without a thread of its own: a parent that never accepts costs one descriptor for as
/// long as the caller waits.
pub(super) async fn connect(socket: Socket, to: &SockAddr) -> io::Result<Stream> {
    socket.set_nonblocking(true)?;
    match socket.connect(to) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        result => result?,
    }
    let socket = registered(socket)?;
    let _ = socket.writable().await?;
    // Writable once it is connected or has failed (connect(2)).
    if let Some(error) = socket.get_ref().take_error()? {
        return Err(error);
    }
    socket.get_ref().peer_addr()?;
    Ok(Stream(socket))
}

/// The socket under tokio, which never waits for it on a thread.
pub(super) fn registered(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    socket.set_nonblocking(true)?;
    // SAFETY: the socket owns its descriptor, and nothing here closes or replaces it before the
    // AsyncFd is dropped.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// Bounds what the kernel keeps of one stream of AF_VSOCK until it is read.
pub(super) fn bound_buffer(socket: &Socket, bytes: u64) -> io::Result<()> {
    // SAFETY: the option takes a u64, and the pointer is to one that is live and as long as is said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::AF_VSOCK,
            BUFFER_SIZE_OPTION,
            (&raw const bytes).cast(),
            BUFFER_SIZE_OPTION_BYTES,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Stream {
    fn new(socket: Socket) -> io::Result<Self> {
        registered(socket).map(Self)
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
            if let Ok(read) = ready.try_io(|socket| socket.get_ref().read(unfilled)) {
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
            if let Ok(written) = ready.try_io(|socket| socket.get_ref().write(bytes)) {
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

#[cfg(test)]
impl Stream {
    /// One end of a pair of sockets.
    pub(super) fn of(socket: Socket) -> Self {
        Self::new(socket).unwrap()
    }
}

/// What [`bound_buffer`] set.
#[cfg(test)]
pub(super) fn buffer_bytes(socket: &Socket) -> io::Result<u64> {
    let (mut bytes, mut length) = (0_u64, BUFFER_SIZE_OPTION_BYTES);
    // SAFETY: both pointers are to live values, as long as is said.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::AF_VSOCK,
            BUFFER_SIZE_OPTION,
            (&raw mut bytes).cast(),
            &raw mut length,
        )
    };
    match asked {
        0 => Ok(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}
