//! The body of a request on its way upstream.
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use dauth_protocol::Code;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use crate::refusal::Refusal;

/// A caller's body, bounded by the policy.
pub(crate) struct Outgoing {
    body: UnsyncBoxBody<Bytes, OutgoingError>,
    remaining: u64,
}

/// Why a request's body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutgoingError {
    /// More bytes than the policy allows.
    #[error("the request's body is over the policy's limit")]
    TooLong,
    /// The caller's stream broke off.
    #[error("the request's body broke off")]
    BrokeOff,
}

impl Outgoing {
    /// A body of at most `max_bytes`; refused at once when it is known to be longer.
    pub(crate) fn new<B>(body: B, max_bytes: u64) -> Result<Self, OutgoingError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if body.size_hint().lower() > max_bytes {
            return Err(OutgoingError::TooLong);
        }
        let body = body.map_err(|_| OutgoingError::BrokeOff).boxed_unsync();
        Ok(Self {
            body,
            remaining: max_bytes,
        })
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        let body = http_body_util::Empty::new()
            .map_err(|never| match never {})
            .boxed_unsync();
        Self { body, remaining: 0 }
    }
}

impl OutgoingError {
    /// What the caller is told.
    pub(crate) fn refusal(self) -> Refusal {
        let detail = match self {
            Self::TooLong => "the request's body is over the policy's limit",
            Self::BrokeOff => "the request's body broke off",
        };
        Refusal::new(Code::InvalidRequest, detail)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = OutgoingError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutgoingError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        // Request trailers do not pass: no policy names them.
        let bytes = frame.into_data().unwrap_or_default();
        let length = u64::try_from(bytes.remaining()).unwrap_or(u64::MAX);
        match self.remaining.checked_sub(length) {
            Some(remaining) => {
                self.remaining = remaining;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            None => Poll::Ready(Some(Err(OutgoingError::TooLong))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
