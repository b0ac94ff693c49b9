//! The body of a reply: the enclave's own words, or an upstream's, scrubbed.
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use dauth_protocol::audit::Ending;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{
    receipt::Account,
    scrub::{BodyError, Likeness, ScrubbedBody},
};

/// What leaves the enclave. Of a call that has a receipt it writes down how it ends.
pub struct ReplyBody {
    content: Content,
    account: Option<Account>,
}

/// There is no variant for a body that has not been scrubbed.
enum Content {
    /// Written by the enclave.
    Own(Full<Bytes>),
    /// An upstream's.
    Scrubbed(ScrubbedBody),
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl ReplyBody {
    /// The enclave's own words.
    pub fn own(bytes: Vec<u8>) -> Self {
        Self {
            content: Content::Own(Full::new(Bytes::from(bytes))),
            account: None,
        }
    }

    /// An upstream's.
    pub fn scrubbed(body: ScrubbedBody) -> Self {
        Self {
            content: Content::Scrubbed(body),
            account: None,
        }
    }

    /// The same, which ends the account when it ends.
    pub(crate) fn accounted(self, account: Account) -> Self {
        let mut body = Self {
            account: Some(account),
            ..self
        };
        // Of an empty body nothing is asked for.
        body.settle(None);
        body
    }

    fn account_for(&mut self, polled: &Polled) {
        let ending = match polled {
            Poll::Ready(None) => Some(Ending::Complete),
            Poll::Ready(Some(Err(_))) => Some(Ending::Broken),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(account), Some(bytes)) = (&mut self.account, frame.data_ref()) {
                    account.passed(bytes.len());
                }
                None
            }
            Poll::Pending => None,
        };
        self.settle(ending);
    }

    /// Notes a reflection, and the end: at the last frame, since no more may be asked for.
    fn settle(&mut self, ending: Option<Ending>) {
        let ended = self.content.is_end_stream().then_some(Ending::Complete);
        if self.content.held_credential()
            && let Some(account) = &mut self.account
        {
            account.reflected();
        }
        if let Some(ending) = ending.or(ended)
            && let Some(account) = self.account.take()
        {
            account.end(ending);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let polled = self.content.poll_frame(cx);
        self.account_for(&polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => body.size_hint(),
            Content::Scrubbed(body) => body.size_hint(),
        }
    }
}

impl Content {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        match self {
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

    /// Whether the credential was in it, or in the head.
    fn held_credential(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Scrubbed(body) => body.likeness() == Likeness::Redacted,
        }
    }
}
