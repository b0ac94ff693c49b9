//! Bytes of a reply on their way: decoded, scrubbed, and the end of it.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::HeaderMap;
use http_body::Body;

use super::{BodyError, Likeness, Reply};
use crate::{
    scrub::{
        decode::{Decoder, Step},
        head::scrub_trailers,
    },
    wipe::WipedBuffer,
};

/// How much is decoded at a time.
const DECODED_BYTES: usize = 8 * 1024;

/// A [`Reply`] under way.
pub(super) struct Passing {
    reply: Reply,
    decoding: Option<Decoding>,
    trailers: Option<HeaderMap>,
}

struct Decoding {
    decoder: Decoder,
    decoded: WipedBuffer,
    is_done: bool,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more.
    More,
    /// All of it was moved on.
    Ended,
}

impl Passing {
    pub(super) fn new(reply: Reply) -> Self {
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

    /// Whether the reply has no body.
    pub(super) fn is_over(&self) -> bool {
        self.reply.body.is_end_stream()
    }

    /// Moves some bytes on, if only into the scrubber.
    pub(super) fn poll_more(
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

    /// How it compares with what the upstream sent, so far.
    pub(super) fn likeness(&self) -> Likeness {
        if self.reply.scrubber.acted() {
            Likeness::Redacted
        } else if self.decoding.is_some() {
            Likeness::Decoded
        } else {
            Likeness::Same
        }
    }

    /// Lets out the rest, gives the connection back, and forgets the secret.
    pub(super) fn end(mut self: Box<Self>, out: &mut Vec<u8>) -> (Option<HeaderMap>, Likeness) {
        let scrubber = &mut self.reply.scrubber;
        scrubber.finish(out);
        let trailers = self.trailers.take();
        let trailers = trailers
            .map(|trailers| scrub_trailers(scrubber, &trailers))
            .filter(|trailers| !trailers.is_empty());
        let likeness = self.likeness();
        // What surrounds a compressed stream (names, comments, bytes after its end) lies in the
        // connection's buffers, and was searched as it came alone.
        let is_clean = likeness == Likeness::Same;
        #[cfg(mutations)]
        let is_clean = is_clean || crate::mutation::Mutation::PoolAfterReflection.is_chosen();
        if is_clean {
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
