//! AF_VSOCK on tokio: one listener for ingress, one port of the parent for host services.
mod stream;

use std::{io, time::Duration};

use dauth_protocol::host;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{io::unix::AsyncFd, sync::OnceCell, time::timeout};

use super::{BoxFuture, BoxStream, Transport};
use stream::{Stream, registered};

/// Time that the parent has to accept a stream. The kernel gives it two seconds of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that the parent has opened and that have not been accepted yet.
const BACKLOG: i32 = 1024;
/// What the kernel keeps of one stream until it is read: a quarter of its default, since the parent
/// may fill it on every stream.
const STREAM_BUFFER_BYTES: u64 = 64 * 1024;

/// Streams between a Nitro enclave and its parent.
pub struct Vsock {
    listener: OnceCell<AsyncFd<Socket>>,
    parent_cid: u32,
}

impl Vsock {
    /// Listens on the ingress port once asked to. `parent_cid` is 3 on EC2 and 2 under QEMU.
    pub fn new(parent_cid: u32) -> Self {
        Self {
            listener: OnceCell::new(),
            parent_cid,
        }
    }

    async fn listener(&self) -> io::Result<&AsyncFd<Socket>> {
        self.listener
            .get_or_try_init(|| async { listen(host::INGRESS_PORT) })
            .await
    }
}

impl Transport for Vsock {
    fn listen(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { self.listener().await.map(drop) })
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let accepted = stream::accept(self.listener().await?).await?;
            Ok(Box::new(accepted) as BoxStream)
        })
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async {
            let parent = SockAddr::vsock(self.parent_cid, host::HOST_SERVICES_PORT);
            let stream = connect(socket()?, &parent).await?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

fn listen(port: u32) -> io::Result<AsyncFd<Socket>> {
    let socket = socket()?;
    socket.bind(&SockAddr::vsock(libc::VMADDR_CID_ANY, port))?;
    socket.listen(BACKLOG)?;
    registered(socket)
}

/// A socket with a bounded buffer. What is accepted on it inherits that.
fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    stream::bound_buffer(&socket, STREAM_BUFFER_BYTES)?;
    Ok(socket)
}

async fn connect(socket: Socket, to: &SockAddr) -> io::Result<Stream> {
    timeout(CONNECT_TIMEOUT, stream::connect(socket, to))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests;
