//! The account that is kept of a call until it has ended.
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread::panicking,
    time::Duration,
};

use bytes::Bytes;
use dauth_protocol::{
    Code,
    audit::{Ending, Outcome, ReceiptId, Reflection},
};
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{Entry, Receipts, Subject};
use crate::{
    clock,
    event::Event,
    in_progress::Place,
    suspension::{Verdict, Watched},
};

/// When a call came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    at: Instant,
    unix_ms: u64,
}

/// A receipt that is being written. Whoever drops it, and why ever, it goes to the chain.
pub struct Account {
    receipts: Receipts,
    id: ReceiptId,
    /// There until it goes to the chain.
    entry: Option<Entry>,
    arrival: Arrival,
    sent: Arc<AtomicU64>,
    /// There while a reflection would count.
    watched: Option<Watched>,
    ending: Option<Ending>,
    /// Among the calls in progress.
    place: Option<Place>,
}

impl Arrival {
    /// Now.
    pub fn now() -> Self {
        Self {
            at: Instant::now(),
            unix_ms: clock::now_ms(),
        }
    }
}

impl Account {
    pub(super) fn open(
        receipts: Receipts,
        id: ReceiptId,
        subject: Subject,
        arrival: Arrival,
    ) -> Self {
        receipts.ledger.expect();
        let entry = Entry {
            id,
            subject: subject.fitted(),
            ordinal: 0,
            outcome: Outcome::Unanswered,
            ending: Ending::Abandoned,
            reflection: Reflection::None,
            request_bytes: 0,
            response_bytes: 0,
            started_ms: arrival.unix_ms,
            duration_ms: 0,
        };
        Self {
            receipts,
            id,
            entry: Some(entry),
            arrival,
            sent: Arc::default(),
            watched: None,
            ending: None,
            place: None,
        }
    }

    /// `DAuth-Receipt-Id`.
    pub(crate) fn id(&self) -> ReceiptId {
        self.id
    }

    /// How long ago the call came.
    pub(crate) fn elapsed(&self) -> Duration {
        self.arrival.at.elapsed()
    }

    /// Counts what is sent upstream, of which a policy allows `max_bytes`.
    pub(crate) fn sending<B>(&self, body: B, max_bytes: u64) -> Counted<B> {
        Counted {
            body,
            sent: Arc::clone(&self.sent),
            max_bytes,
        }
    }

    /// From now on a reflection counts against the connection.
    pub(crate) fn watch(&mut self, watched: Watched) {
        self.watched = Some(watched);
    }

    /// The call is in progress for as long as this account is kept.
    pub(crate) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The caller is answered by the upstream.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let status = status.as_u16();
        self.write(|entry| entry.outcome = Outcome::Answered { status });
    }

    /// The caller is answered by the enclave.
    pub(crate) fn refused(&mut self, code: Code) {
        self.write(|entry| entry.outcome = Outcome::Refused { code });
    }

    /// Bytes of the reply's body went to the caller.
    pub(crate) fn passed(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.write(|entry| entry.response_bytes = entry.response_bytes.saturating_add(bytes));
    }

    /// The reply held the credential. At once, since a reply may go on for long; and once for each.
    pub(crate) fn reflected(&mut self) {
        let Some(watched) = self.watched.take() else {
            return;
        };
        let verdict = watched.reflected();
        let Some(entry) = &mut self.entry else {
            return;
        };
        entry.reflection = match verdict {
            Verdict::Tolerated => Reflection::Redacted,
            Verdict::Suspended | Verdict::WasSuspended => Reflection::Suspended,
        };
        if verdict == Verdict::Suspended {
            let handle = entry.subject.handle.clone();
            let receipt = entry.id;
            self.receipts
                .events
                .note(Event::ConnectionSuspended { handle, receipt });
        }
    }

    /// The reply's body has ended.
    pub(crate) fn end(mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    fn write(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            change(entry);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        entry.ending = self.ending.unwrap_or_else(|| dropped(&entry));
        entry.request_bytes = self.sent.load(Ordering::Relaxed);
        let elapsed = self.arrival.at.elapsed().as_millis();
        entry.duration_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.receipts.ledger.note(entry);
    }
}

/// The ending of a call of which none was told.
fn dropped(entry: &Entry) -> Ending {
    if panicking() {
        Ending::Broken
    } else if entry.subject.method == Method::HEAD.as_str() && entry.outcome != Outcome::Unanswered
    {
        // The reply to a HEAD has no body, whatever was there to be sent.
        Ending::Complete
    } else {
        Ending::Abandoned
    }
}

/// A request's body that is counted on its way.
pub(crate) struct Counted<B> {
    body: B,
    sent: Arc<AtomicU64>,
    max_bytes: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let sent = self.sent.load(Ordering::Relaxed).saturating_add(length);
            // What exceeds the policy's limit is not sent.
            if sent <= self.max_bytes {
                self.sent.store(sent, Ordering::Relaxed);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
