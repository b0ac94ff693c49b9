//! Puts the credential into the bytes of a request, directly above TLS.
//!
//! The HTTP library writes a placeholder; its buffers never hold the secret. [`Splice`] takes the
//! head of each request whole into a buffer of its own, replaces the placeholder there, hands the
//! buffer to TLS and wipes it. Whatever follows the head passes untouched.
//!
//! On the way back every byte is looked at, those too that the HTTP library reads and gives to nobody
//! (chunk extensions, heads that are dropped): they stay in its buffers.
#[cfg(test)]
mod tests;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use dauth_protocol::limit;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    inject::{Placeholder, Rendered},
    scrub::Watch,
    wipe::WipedBuffer,
};

/// A request line and header fields of the greatest size, with a credential percent-encoded.
const MAX_HEAD_BYTES: usize = limit::MAX_HEADER_BYTES
    + limit::MAX_BASE_URL_BYTES
    + limit::MAX_PATH_BYTES
    + limit::MAX_QUERY_BYTES
    + 3 * limit::MAX_SECRET_BYTES;

/// A byte stream that replaces one placeholder in the head of each HTTP/1.1 request written to it.
pub struct Splice<S> {
    inner: S,
    slot: Slot,
    phase: Phase,
}

/// Arms a [`Splice`] that the HTTP library owns.
pub struct Splicer {
    slot: Slot,
}

type Slot = Arc<Mutex<Exchange>>;

/// What is there for the request that is to be sent and its reply.
#[derive(Default)]
struct Exchange {
    armed: Option<Armed>,
    watch: Option<Watch>,
}

struct Armed {
    placeholder: Placeholder,
    rendered: Rendered,
}

enum Phase {
    /// No request is under way: a write needs an armed placeholder.
    Idle,
    /// A head is being taken. No byte of it has left yet.
    Head(Armed, WipedBuffer),
    /// The head, with the credential in it, and how much of it TLS has taken.
    Sending(WipedBuffer, usize),
    /// The head has left: bytes pass as they are.
    Body,
    /// The placeholder was not where it had to be: nothing is written any more.
    Failed,
}

impl<S> Splice<S> {
    /// Wraps `inner`, a TLS stream whose handshake is done.
    pub fn new(inner: S) -> (Self, Splicer) {
        let slot = Slot::default();
        let splicer = Splicer {
            slot: Arc::clone(&slot),
        };
        (
            Self {
                inner,
                slot,
                phase: Phase::Idle,
            },
            splicer,
        )
    }
}

impl Splicer {
    /// Prepares the next request: its head must hold `placeholder` exactly once.
    pub fn arm(&self, placeholder: Placeholder, rendered: Rendered) {
        lock(&self.slot).armed = Some(Armed {
            placeholder,
            rendered,
        });
    }

    /// Has `watch` look at all that is read from now on.
    pub(crate) fn watch(&self, watch: Watch) {
        lock(&self.slot).watch = Some(watch);
    }

    /// Ends the watch. Whether one was kept and saw no form of the secret.
    pub(crate) fn end_watch(&self) -> bool {
        let watch = lock(&self.slot).watch.take();
        watch.is_some_and(|watch| !watch.saw())
    }
}

impl Drop for Splicer {
    /// A credential that was never sent does not outlive the call, nor does what is watched for.
    fn drop(&mut self) {
        *lock(&self.slot) = Exchange::default();
    }
}

fn lock(slot: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Armed {
    /// Puts the credential into a whole head.
    fn splice(&self, head: &mut WipedBuffer) -> io::Result<()> {
        let placeholder = self.placeholder.as_str().as_bytes();
        let at = memmem::find(head, placeholder).ok_or_else(misplaced)?;
        let (_, from) = head.as_mut_slice().split_at_mut(at);
        let (place, rest) = from.split_at_mut(placeholder.len());
        if self.rendered.length() != place.len() || memmem::find(rest, placeholder).is_some() {
            return Err(misplaced());
        }
        place.copy_from_slice(self.rendered.expose());
        Ok(())
    }
}

fn misplaced() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the credential's place is not in the head",
    )
}

/// Appends to `head` what of `bytes` belongs to it; says how much that was and whether it is whole.
fn take_head(head: &mut WipedBuffer, bytes: &[u8]) -> io::Result<(usize, bool)> {
    let before = head.len();
    let room = MAX_HEAD_BYTES - before;
    head.append(bytes.get(..room).unwrap_or(bytes));
    // The end of the head may lie across writes.
    let from = before.saturating_sub(3);
    let end =
        memmem::find(head.get(from..).unwrap_or_default(), b"\r\n\r\n").map(|at| from + at + 4);
    match end {
        Some(end) => {
            head.truncate(end);
            Ok((end - before, true))
        }
        None if head.len() == MAX_HEAD_BYTES => Err(misplaced()),
        None => Ok((head.len() - before, false)),
    }
}

impl<S: AsyncWrite + Unpin> Splice<S> {
    /// Hands what is left of a head to TLS, and wipes it.
    fn poll_send_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Phase::Sending(head, sent) = &mut self.phase {
            let rest = head.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                // The buffer is wiped as it is dropped here.
                self.phase = Phase::Body;
                break;
            }
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes of a head; once it is whole, the credential goes in and the armed pair is gone.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Phase::Head(armed, head) = &mut self.phase else {
            return Err(misplaced());
        };
        let (taken, is_whole) = take_head(head, bytes)?;
        if is_whole {
            armed.splice(head)?;
            let head = std::mem::replace(head, WipedBuffer::with_capacity(0));
            self.phase = Phase::Sending(head, 0);
        }
        Ok(taken)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Splice<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_send_head(cx))?;
        if matches!(this.phase, Phase::Idle | Phase::Body)
            && let Some(armed) = lock(&this.slot).armed.take()
        {
            this.phase = Phase::Head(armed, WipedBuffer::with_capacity(bytes.len()));
        }
        match this.phase {
            Phase::Body => Pin::new(&mut this.inner).poll_write(cx, bytes),
            Phase::Head(..) => {
                let taken = this
                    .take(bytes)
                    .inspect_err(|_| this.phase = Phase::Failed)?;
                // The bytes are taken either way: what TLS has no room for goes with a later poll.
                match this.poll_send_head(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(taken)),
                }
            }
            Phase::Idle | Phase::Sending(..) | Phase::Failed => Poll::Ready(Err(misplaced())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_head(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_head(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Splice<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if let Some(watch) = &mut lock(&self.slot).watch {
            watch.push(buffer.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}
