//! Hybrid vsock: a unix socket of the virtual machine monitor that stands for every vsock port of
//! the guest. Firecracker, Cloud Hypervisor and vhost-device-vsock speak it alike: `CONNECT PORT`,
//! then `OK PORT` once the guest has accepted.
use std::{io, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// `OK `, the longest port, the end of the line.
const MAX_ANSWER_BYTES: usize = "OK 4294967295\n".len();

/// Connects to `port` of the guest behind the socket at `path`. The caller sets the deadline: an
/// answer comes once the guest's kernel has one.
pub(super) async fn connect(path: &Path, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let answer = answer(&mut stream).await?;
    match answer.strip_prefix(b"OK ") {
        Some(number) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => Ok(stream),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The first line, without its end. One byte at a time: what follows it is the guest's.
async fn answer(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(MAX_ANSWER_BYTES);
    while line.len() < MAX_ANSWER_BYTES {
        match stream.read_u8().await {
            Ok(b'\n') => return Ok(line),
            Ok(byte) => line.push(byte),
            // Nothing listens on the port: the monitor closes.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;

    use super::*;
    use crate::{configuration::Endpoint, stream};

    /// A monitor that expects `CONNECT 5000`, says `answer` and then holds the stream open.
    async fn answered(answer: &'static [u8]) -> io::Result<UnixStream> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock");
        let listener = UnixListener::bind(&path).unwrap();
        let monitor = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 13];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"CONNECT 5000\n");
            stream.write_all(answer).await.unwrap();
            stream
        };
        let (monitor, connected) = tokio::join!(monitor, connect(&path, 5000));
        // What the parent writes next arrives after the line.
        if let Ok(mut stream) = connected {
            let mut monitor = monitor;
            stream.write_all(b"hello").await?;
            let mut heard = [0; 5];
            monitor.read_exact(&mut heard).await?;
            assert_eq!(&heard, b"hello");
            drop(monitor);
            return Ok(stream);
        }
        connected
    }

    #[tokio::test]
    async fn what_follows_the_answer_is_the_guests() {
        let mut stream = answered(b"OK 1073741824\nfrom the guest").await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "from the guest");
    }

    #[tokio::test]
    async fn any_other_answer_is_refused_without_waiting_for_its_end() {
        for answer in [
            &b"ERR\n"[..],
            b"\n",
            b"OK\n",
            b"OK \n",
            b"OK x\n",
            b"OK 42949672950",
            b"HTTP/1.1 400 Bad Request",
        ] {
            let error = answered(answer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock");
        let listener = UnixListener::bind(&path).unwrap();
        let monitor = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 13];
            stream.read_exact(&mut asked).await.unwrap();
        };
        let ((), connected) = tokio::join!(monitor, connect(&path, 5000));
        let error = connected.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_guest_that_does_not_answer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock");
        let _silent = UnixListener::bind(&path).unwrap();
        let endpoint = Endpoint::HybridVsock { path, port: 5000 };
        let connected = stream::connect(&endpoint, Duration::from_millis(50)).await;
        assert_eq!(
            connected.err().map(|error| error.kind()),
            Some(io::ErrorKind::TimedOut)
        );
    }
}
