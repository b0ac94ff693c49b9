//! One connection: TLS, the splice above it, HTTP/1.1 above that.
use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dauth_protocol::{Code, limit};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    ext::on_informational,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{Outgoing, OutgoingError};
use crate::{
    host::EgressError,
    inject::{Placeholder, Rendered},
    platform::BoxStream,
    refusal::Refusal,
    scrub::Watch,
    splice::{Splice, Splicer},
};

/// Bytes that rustls keeps for a peer that does not read.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

/// A connection to an upstream, for one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Outgoing>,
    splicer: Splicer,
    /// Whether an interim reply came.
    had_interim: Arc<AtomicBool>,
    /// What reads and writes the stream, and owns it.
    task: JoinHandle<()>,
}

/// Why a request got no reply.
pub(crate) struct NoReply {
    /// What the caller is told.
    pub(crate) refusal: Refusal,
    /// What may be done about it.
    pub(crate) sent: Sent,
}

/// What became of a request that got no reply.
pub(crate) enum Sent {
    /// No byte was sent, so it may be sent elsewhere.
    Nothing(Box<Request<Outgoing>>),
    /// The connection ended before a reply began, as a stale one does.
    Unanswered,
    /// The upstream, or the caller, did something wrong.
    Failed,
}

impl Connection {
    /// Does the handshakes.
    pub(crate) async fn open(
        stream: BoxStream,
        name: ServerName<'static>,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, Refusal> {
        let limit_buffer = |session: &mut rustls::ClientConnection| {
            session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        };
        let stream = TlsConnector::from(tls)
            .connect_with(name, stream, limit_buffer)
            .await
            .map_err(|error| tls_refusal(&error))?;
        let (splice, splicer) = Splice::new(stream);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(limit::MAX_HEADER_BYTES)
            .max_headers(limit::MAX_HEADER_COUNT)
            .handshake(TokioIo::new(splice))
            .await
            .map_err(|_| UNREACHABLE)?;
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            splicer,
            had_interim: Arc::default(),
            task,
        })
    }

    /// Whether the next request can be sent; waits until the last one has left no trace.
    pub(crate) async fn is_usable(&mut self) -> bool {
        !self.sender.is_closed() && self.sender.ready().await.is_ok()
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it may serve another call, now that this one has ended: not when a form of the secret
    /// was among the bytes read, whatever they were. They stay in the HTTP library's buffer.
    ///
    /// The head of an interim reply (RFC 9110 section 15.2), of which nobody is told, is one anomaly
    /// more.
    pub(super) fn may_serve_again(&self) -> bool {
        self.splicer.end_watch() && !self.had_interim.load(Ordering::Acquire)
    }

    /// Sends a request whose head holds `placeholder`. `watch` sees all that comes back.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Outgoing>,
        placeholder: Placeholder,
        rendered: Rendered,
        watch: Watch,
    ) -> Result<Response<Incoming>, NoReply> {
        let had_interim = Arc::clone(&self.had_interim);
        on_informational(&mut request, move |_| {
            had_interim.store(true, Ordering::Release);
        });
        self.splicer.arm(placeholder, rendered);
        self.splicer.watch(watch);
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut error| {
                let unsent = error.take_message();
                NoReply::new(error.error(), unsent)
            })
    }
}

impl Drop for Connection {
    /// Left to itself, the task would first send what is queued: to an upstream that does not read,
    /// for as long as that likes.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NoReply {
    fn new(error: &hyper::Error, unsent: Option<Request<Outgoing>>) -> Self {
        if let Some(request) = unsent {
            return Self {
                refusal: UNREACHABLE,
                sent: Sent::Nothing(Box::new(request)),
            };
        }
        let failed = |refusal| Self {
            refusal,
            sent: Sent::Failed,
        };
        if let Some(error) = cause::<OutgoingError>(error) {
            return failed(error.refusal());
        }
        if error.is_parse() {
            return failed(MALFORMED);
        }
        match cause::<io::Error>(error) {
            Some(error) if error.kind() == io::ErrorKind::InvalidInput => failed(MISPLACED),
            Some(error) if is_tls(error) => failed(TLS_REFUSED),
            _ => Self {
                refusal: UNREACHABLE,
                sent: Sent::Unanswered,
            },
        }
    }
}

impl From<EgressError> for Refusal {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Refused => Refusal::new(
                Code::DownstreamUnreachable,
                "the operator's network does not let this destination be reached",
            ),
            EgressError::Unreachable => UNREACHABLE,
            EgressError::TimedOut => TIMED_OUT,
            EgressError::HostUnavailable => Refusal::new(
                Code::EnclaveUnavailable,
                "the enclave's way out is not available",
            ),
        }
    }
}

/// The upstream did not answer in time.
pub(crate) const TIMED_OUT: Refusal = Refusal::new(
    Code::DownstreamTimeout,
    "the upstream did not answer within the policy's time",
);
const UNREACHABLE: Refusal = Refusal::new(
    Code::DownstreamUnreachable,
    "the upstream cannot be reached or broke off",
);
const TLS_REFUSED: Refusal = Refusal::new(
    Code::DownstreamTlsError,
    "no TLS session with the upstream could be trusted",
);
const MALFORMED: Refusal = Refusal::new(
    Code::ResponseRefused,
    "the upstream's reply is not well-formed HTTP/1.1",
);
const MISPLACED: Refusal = Refusal::new(
    Code::EnclaveUnavailable,
    "the credential could not be put in its place",
);

fn tls_refusal(error: &io::Error) -> Refusal {
    if is_tls(error) {
        TLS_REFUSED
    } else {
        UNREACHABLE
    }
}

/// Whether rustls made the error, rather than the stream below it.
fn is_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
