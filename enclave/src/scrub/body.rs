//! The body of a reply on its way to the caller.
mod expiring;
mod passing;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use self::{
    expiring::{Expired, Expiring},
    passing::{Passing, Progress},
};
use super::{Scrubber, decode::Encoding};
use crate::upstream::Lease;

/// A reply's body, decoded and without the secret: the only body that a reply can have.
pub struct ScrubbedBody {
    /// Gone once the reply has ended, and the secret with it.
    passing: Option<Expiring<Box<Passing>>>,
    /// All of a short body.
    gathered: Bytes,
    /// Trailers, once the body is out.
    trailers: Option<HeaderMap>,
    likeness: Likeness,
}

/// How a reply compares with what the upstream sent, head and body so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The secret was in it and was taken out.
    Redacted,
    /// The body was decoded, and held no secret.
    Decoded,
    /// The same bytes.
    Same,
}

/// An upstream's reply body and what it takes to pass it on.
pub(crate) struct Reply {
    /// The bytes as they come.
    pub(crate) body: Incoming,
    /// How they are coded.
    pub(crate) encoding: Encoding,
    /// What redacts them.
    pub(crate) scrubber: Scrubber,
    /// How many decoded bytes there may be.
    pub(crate) max_bytes: u64,
    /// For how long it may go on.
    pub(crate) life: Duration,
    /// The connection, to be used again when nothing was wrong with the reply.
    pub(crate) lease: Lease,
}

/// Why a body ends before its end. Nothing that was held back is let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the policy allows.
    #[error("the upstream's body is over the policy's limit")]
    TooLong,
    /// The connection broke, or the framing did.
    #[error("the upstream's body broke off")]
    BrokeOff,
    /// Not what its content coding says.
    #[error("the upstream's body does not decode")]
    Malformed,
    /// The token that opened it expired too long ago.
    #[error("the token with which the call was made has been expired for too long")]
    TokenExpired,
}

impl ScrubbedBody {
    /// The body of `reply` as it comes. There is no other way to make one but [`Self::gathered`].
    pub(crate) fn new(reply: Reply) -> Self {
        let life = reply.life;
        let passing = Box::new(Passing::new(reply));
        if passing.is_over() {
            return Self::ended(passing, Vec::new());
        }
        let likeness = passing.likeness();
        Self {
            passing: Some(Expiring::new(passing, life)),
            gathered: Bytes::new(),
            trailers: None,
            likeness,
        }
    }

    /// The body of `reply` once it has ended: then it is known whether it was altered. For one that
    /// is short, within the time that the caller's policy gives.
    pub(crate) async fn gathered(reply: Reply) -> Result<Self, BodyError> {
        let mut passing = Box::new(Passing::new(reply));
        let mut out = Vec::new();
        while poll_fn(|cx| passing.poll_more(cx, &mut out)).await? == Progress::More {}
        Ok(Self::ended(passing, out))
    }

    /// How it compares with what the upstream sent, as far as it was polled.
    pub(crate) fn likeness(&self) -> Likeness {
        self.likeness
    }

    fn ended(passing: Box<Passing>, mut out: Vec<u8>) -> Self {
        let (trailers, likeness) = passing.end(&mut out);
        Self {
            passing: None,
            gathered: Bytes::from(out),
            trailers,
            likeness,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if let Some(passing) = self.passing.take() {
            let passing = passing.take().map_err(|Expired| BodyError::TokenExpired)?;
            (self.trailers, self.likeness) = passing.end(out);
        }
        Ok(())
    }
}

impl Body for ScrubbedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.gathered.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.gathered)))));
        }
        let this = &mut *self;
        let mut out = Vec::new();
        while let Some(passing) = &this.passing {
            let moved = passing.poll(cx, |passing, cx| {
                let moved = passing.poll_more(cx, &mut out);
                this.likeness = passing.likeness();
                moved
            });
            let moved = match ready!(moved) {
                Ok(Ok(Progress::More)) => Ok(()),
                Ok(Ok(Progress::Ended)) => this.end(&mut out),
                Ok(Err(error)) => Err(error),
                Err(Expired) => Err(BodyError::TokenExpired),
            };
            if let Err(error) = moved {
                // The connection goes with it.
                this.passing = None;
                return Poll::Ready(Some(Err(error)));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
            }
        }
        Poll::Ready(
            this.trailers
                .take()
                .map(|trailers| Ok(Frame::trailers(trailers))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.passing.is_none() && self.trailers.is_none() && self.gathered.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.passing {
            None => SizeHint::with_exact(u64::try_from(self.gathered.len()).unwrap_or(u64::MAX)),
            Some(_) => SizeHint::default(),
        }
    }
}
