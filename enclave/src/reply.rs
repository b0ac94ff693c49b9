//! The body of a reply: the enclave's own words, or an upstream's, scrubbed.
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::scrub::{BodyError, ScrubbedBody};

/// What leaves the enclave: there is no variant for a body that has not been scrubbed.
pub enum ReplyBody {
    /// Written by the enclave.
    Own(Full<Bytes>),
    /// An upstream's.
    Scrubbed(ScrubbedBody),
}

impl ReplyBody {
    /// The enclave's own words.
    pub fn own(bytes: Vec<u8>) -> Self {
        Self::Own(Full::new(Bytes::from(bytes)))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Self::Scrubbed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Scrubbed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Scrubbed(body) => body.size_hint(),
        }
    }
}
