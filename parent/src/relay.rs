//! Bytes from one stream to another, both ways, until both have ended or nothing moves.
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use dauth_protocol::limit::MAX_VSOCK_WRITE_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

/// One read is one write, and some vsock transports stall on larger ones.
const BUFFER_BYTES: usize = MAX_VSOCK_WRITE_BYTES;

/// How often a relay looks whether anything has moved, as a part of the idle timeout.
const IDLE_LOOKS: u32 = 4;

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides have closed.
    Closed,
    /// Nothing moved for the idle timeout.
    Idle,
    /// A side failed.
    Failed,
}

/// Relays until the end; each byte read from either side is added to `moved`.
///
/// The end of one direction is passed on and leaves the other open (half-close).
pub(crate) async fn relay<A, B>(near: A, far: B, idle: Duration, moved: Arc<AtomicU64>) -> Ended
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Arc::new(AtomicU64::new(0));
    let watch = |stream_activity: &Arc<AtomicU64>| Arc::clone(stream_activity);
    let mut near = Watched::new(near, watch(&activity), Arc::clone(&moved));
    let mut far = Watched::new(far, watch(&activity), moved);
    let copying = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES);
    tokio::select! {
        copied = copying => match copied {
            Ok(_) => Ended::Closed,
            Err(_) => Ended::Failed,
        },
        () = idle_for(idle, &activity) => Ended::Idle,
    }
}

async fn idle_for(timeout: Duration, activity: &AtomicU64) {
    let look = (timeout / IDLE_LOOKS).max(Duration::from_millis(1));
    let mut seen = activity.load(Ordering::Relaxed);
    let mut quiet = 0;
    while quiet < IDLE_LOOKS {
        tokio::time::sleep(look).await;
        let now = activity.load(Ordering::Relaxed);
        quiet = if now == seen { quiet + 1 } else { 0 };
        seen = now;
    }
}

/// A stream that notes when bytes pass.
struct Watched<S> {
    stream: S,
    activity: Arc<AtomicU64>,
    moved: Arc<AtomicU64>,
}

impl<S> Watched<S> {
    fn new(stream: S, activity: Arc<AtomicU64>, moved: Arc<AtomicU64>) -> Self {
        Self {
            stream,
            activity,
            moved,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        self.activity.fetch_add(1, Ordering::Relaxed);
        self.moved.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.activity.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn passes_bytes_and_half_close_in_both_directions() {
        let (mut client, near) = duplex(64);
        let (mut server, far) = duplex(64);
        let moved = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(relay(near, far, IDLE, Arc::clone(&moved)));

        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");

        // The other direction is still open.
        let answer = vec![7; 100_000];
        let sent = answer.clone();
        let reading = tokio::spawn(async move {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received
        });
        server.write_all(&sent).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap(), answer);
        assert_eq!(task.await.unwrap(), Ended::Closed);
        assert_eq!(moved.load(Ordering::Relaxed), 100_008);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_nothing_moves_and_not_before() {
        let (mut client, near) = duplex(64);
        let (_server, far) = duplex(64);
        let task = tokio::spawn(relay(near, far, IDLE, Arc::default()));
        for _ in 0..3 {
            tokio::time::sleep(IDLE * 3 / 4).await;
            client.write_all(b".").await.unwrap();
        }
        assert!(!task.is_finished());
        assert_eq!(task.await.unwrap(), Ended::Idle);
    }
}
