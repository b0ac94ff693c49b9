//! The body of a reply on its way to the caller.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

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
    passing: Option<Box<Passing>>,
    /// All of a short body, once it was gathered.
    gathered: Bytes,
    /// Whether what has ended was as the upstream sent it.
    likeness: Likeness,
    /// Trailers, once the body is out.
    trailers: Option<HeaderMap>,
}

/// How a reply compares with what the upstream sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Something was redacted or decoded, or it is not known yet.
    Altered,
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

enum Progress {
    More,
    Ended,
}

impl ScrubbedBody {
    /// The body of `reply`. This is the only way to make one.
    pub(crate) fn new(reply: Reply) -> Self {
        let mut body = Self {
            passing: None,
            gathered: Bytes::new(),
            likeness: Likeness::Altered,
            trailers: None,
        };
        let passing = Box::new(Passing::new(reply));
        if passing.reply.body.is_end_stream() {
            body.end(passing, &mut Vec::new());
        } else {
            body.passing = Some(passing);
        }
        body
    }

    /// Waits for the end of a short body: then it is known whether it was altered.
    pub(crate) async fn gather(&mut self) -> Result<Likeness, BodyError> {
        let mut gathered = Vec::new();
        let mut trailers = None;
        while let Some(frame) = self.frame().await {
            match frame?.into_data() {
                Ok(bytes) => gathered.extend_from_slice(&bytes),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        self.gathered = Bytes::from(gathered);
        self.trailers = trailers;
        Ok(self.likeness)
    }

    fn end(&mut self, passing: Box<Passing>, out: &mut Vec<u8>) {
        (self.trailers, self.likeness) = passing.end(out);
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
        let mut out = Vec::new();
        while let Some(passing) = &mut self.passing {
            match ready!(passing.poll_more(cx, &mut out)) {
                Ok(Progress::More) => {}
                Ok(Progress::Ended) => {
                    if let Some(passing) = self.passing.take() {
                        self.end(passing, &mut out);
                    }
                }
                Err(error) => {
                    // The connection goes with it.
                    self.passing = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
            }
        }
        Poll::Ready(
            self.trailers
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

    /// Lets out the rest, gives the connection back, and forgets the secret.
    fn end(self: Box<Self>, out: &mut Vec<u8>) -> (Option<HeaderMap>, Likeness) {
        let Self {
            mut reply,
            trailers,
            decoding,
        } = *self;
        reply.scrubber.finish(out);
        let trailers = trailers
            .map(|trailers| scrub_fields(&mut reply.scrubber, &trailers))
            .filter(|trailers| !trailers.is_empty());
        if reply.scrubber.acted() {
            return (trailers, Likeness::Altered);
        }
        // What surrounds a compressed stream (names, comments, bytes after its end) was not
        // searched and lies in the connection's buffers.
        if decoding.is_some() {
            return (trailers, Likeness::Altered);
        }
        reply.lease.give_back();
        (trailers, Likeness::Same)
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
