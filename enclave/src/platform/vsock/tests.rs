//! The kernels that tests run on have no vsock to themselves: what is the same for every family of
//! sockets is tested over others, and the boot in a virtual machine tests the rest.
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
};

use dauth_protocol::limit::MAX_VSOCK_WRITE_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A stream, and its peer's end.
fn pair() -> (Stream, Socket) {
    let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
    (Stream::of(near), far)
}

fn tcp() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

fn address(listener: &TcpListener) -> SockAddr {
    listener.local_addr().unwrap().into()
}

#[tokio::test]
async fn no_write_is_longer_than_some_kernels_bear() {
    let (mut near, _far) = pair();
    let written = near.write(&[7; 1 << 20]).await.unwrap();
    assert_eq!(written, MAX_VSOCK_WRITE_BYTES);
}

#[tokio::test]
async fn bytes_arrive_whole_whatever_waits_for_whom() {
    let (near, far) = pair();
    let mut far = Stream::of(far);
    let sent: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[0]).collect();
    let (mut reading, mut writing) = tokio::io::split(near);
    let expected = sent.clone();
    // What comes back is what was sent, through buffers much smaller than that.
    let echo = tokio::spawn(async move {
        let mut bytes = vec![0; 50_000];
        loop {
            match far.read(&mut bytes).await.unwrap() {
                0 => return far,
                read => far.write_all(&bytes[..read]).await.unwrap(),
            }
        }
    });
    let writer = tokio::spawn(async move {
        writing.write_all(&sent).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    let mut received = vec![0; expected.len()];
    reading.read_exact(&mut received).await.unwrap();
    assert!(received == expected);
    writer.await.unwrap();
    drop(echo.await.unwrap());
}

#[tokio::test]
async fn an_end_that_is_half_closed_is_still_written_to() {
    let (mut near, far) = pair();
    let mut far = Stream::of(far);
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut asked = Vec::new();
    far.read_to_end(&mut asked).await.unwrap();
    assert_eq!(asked, b"question");
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut answered = Vec::new();
    near.read_to_end(&mut answered).await.unwrap();
    assert_eq!(answered, b"answer");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let (mut near, far) = pair();
    drop(far);
    let error = near.write_all(b"bytes").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn what_is_accepted_never_blocks() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = address(&listener);
    let listener = registered(listener.into()).unwrap();
    let (near, far) = tokio::join!(accept_one(&listener), connect(tcp(), &to));
    let (mut near, mut far) = (near, far.unwrap());
    // On this one thread a read that blocked would never see these bytes.
    let mut byte = [0];
    let (read, written) = tokio::join!(near.read_exact(&mut byte), far.write_all(b"!"));
    read.unwrap();
    written.unwrap();
    assert_eq!(&byte, b"!");
}

async fn accept_one(listener: &AsyncFd<Socket>) -> Stream {
    stream::accept(listener).await.unwrap()
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = address(&listener);
    drop(listener);
    let error = connect(tcp(), &to).await.err().expect("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

/// A listener whose queue is full: the next that connects waits, as for a parent that hangs.
fn hanging() -> (TcpListener, Vec<TcpStream>) {
    let socket = tcp();
    socket
        .bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let to = listener.local_addr().unwrap();
    let queued = vec![TcpStream::connect(to).unwrap()];
    (listener, queued)
}

/// The attack: a parent that accepts nothing, while the enclave asks it for something again and
/// again. With a thread for each, the pool's threads would soon be all of them waiting.
#[test]
fn a_parent_that_hangs_holds_up_no_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        // The pool's one thread is taken.
        let (release, released) = mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || released.recv());
        let (hanging, _queued) = hanging();
        for _ in 0..8 {
            let address = address(&hanging);
            // The connection is begun first.
            let later = tokio::time::advance(2 * CONNECT_TIMEOUT);
            let (connected, ()) = tokio::join!(connect(tcp(), &address), later);
            let error = connected.err().expect("it hangs");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let accepting = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(connect(tcp(), &address(&accepting)).await.is_ok());
        drop(release);
        taken.await.unwrap().unwrap_err();
    });
}

#[test]
fn what_the_kernel_keeps_of_a_stream_is_bounded() {
    let Ok(socket) = socket() else {
        eprintln!("SKIPPED: this kernel has no AF_VSOCK");
        return;
    };
    assert_eq!(stream::buffer_bytes(&socket).unwrap(), STREAM_BUFFER_BYTES);
}
