//! The body of a reply on its way to the caller.
mod expiring;

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

use self::expiring::{Expired, Expiring};
use super::{
    Scrubber,
    decode::{Decoder, Encoding, Step},
    head::scrub_fields,
};
use crate::{upstream::Lease, wipe::WipedBuffer};

/// How much is decoded at a time.
const DECODED_BYTES: usize = 8 * 1024;

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

/// A [`Reply`] under way.
struct Passing {
    reply: Reply,
    decoding: Option<Decoding>,
    trailers: Option<HeaderMap>,
}

struct Decoding {
    decoder: Decoder,
    decoded: WipedBuffer,
    is_done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Ended,
}

impl ScrubbedBody {
    /// The body of `reply` as it comes. There is no other way to make one but [`Self::gathered`].
    pub(crate) fn new(reply: Reply) -> Self {
        let life = reply.life;
        let passing = Box::new(Passing::new(reply));
        if passing.reply.body.is_end_stream() {
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

impl Passing {
    fn new(reply: Reply) -> Self {
        let decoding = Decoder::new(reply.encoding).map(|decoder| Decoding {
            decoder,
            decoded: WipedBuffer::copy_of(&[0; DECODED_BYTES]),
            is_done: false,
        });
        Self {
            reply,
            decoding,
            trailers: None,
        }
    }

    /// Moves some bytes on, if only into the scrubber.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Progress, BodyError>> {
        if let Some(Decoding {
            decoder,
            decoded,
            is_done,
        }) = &mut self.decoding
        {
            match decoder.read(decoded.as_mut_slice()) {
                Err(_) => return Poll::Ready(Err(BodyError::Malformed)),
                Ok(Step::Read(read)) => {
                    let bytes = decoded.get(..read).unwrap_or_default();
                    return Poll::Ready(self.reply.scrub(bytes, out).map(|()| Progress::More));
                }
                // The body is read to its end all the same: trailers may follow.
                Ok(Step::Done) => *is_done = true,
                Ok(Step::Hungry) => {}
            }
        }
        let frame = match ready!(Pin::new(&mut self.reply.body).poll_frame(cx)) {
            None => return Poll::Ready(self.end_of_input()),
            Some(Err(_)) => return Poll::Ready(Err(BodyError::BrokeOff)),
            Some(Ok(frame)) => frame,
        };
        match (frame.into_data(), &mut self.decoding) {
            (Ok(bytes), None) => {
                Poll::Ready(self.reply.scrub(&bytes, out).map(|()| Progress::More))
            }
            (Ok(bytes), Some(decoding)) => {
                decoding.decoder.feed(bytes);
                Poll::Ready(Ok(Progress::More))
            }
            (Err(frame), _) => {
                self.trailers = frame.into_trailers().ok();
                Poll::Ready(Ok(Progress::More))
            }
        }
    }

    fn end_of_input(&mut self) -> Result<Progress, BodyError> {
        match &mut self.decoding {
            None => Ok(Progress::Ended),
            Some(decoding) if decoding.is_done => Ok(Progress::Ended),
            // The decoder has not said that it is done: now it does, or finds its input cut short.
            Some(decoding) => {
                decoding.decoder.end();
                Ok(Progress::More)
            }
        }
    }

    fn likeness(&self) -> Likeness {
        if self.reply.scrubber.acted() {
            Likeness::Redacted
        } else if self.decoding.is_some() {
            Likeness::Decoded
        } else {
            Likeness::Same
        }
    }

    /// Lets out the rest, gives the connection back, and forgets the secret.
    fn end(mut self: Box<Self>, out: &mut Vec<u8>) -> (Option<HeaderMap>, Likeness) {
        let scrubber = &mut self.reply.scrubber;
        scrubber.finish(out);
        let trailers = self.trailers.take();
        let trailers = trailers
            .map(|trailers| scrub_fields(scrubber, &trailers))
            .filter(|trailers| !trailers.is_empty());
        let likeness = self.likeness();
        // What surrounds a compressed stream (names, comments, bytes after its end) was not
        // searched and lies in the connection's buffers.
        if likeness == Likeness::Same {
            self.reply.lease.give_back();
        }
        (trailers, likeness)
    }
}

impl Reply {
    fn scrub(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.max_bytes = self
            .max_bytes
            .checked_sub(length)
            .ok_or(BodyError::TooLong)?;
        self.scrubber.push(bytes, out);
        Ok(())
    }
}
