//! Request bodies that can be had back when the enclave did not take the request.
//!
//! The HTTP library takes a body for good once it begins to send. What it has taken is kept here,
//! up to a bound, until the reply begins.
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BoxError, body};

/// Of a body that has begun to be sent, this much is kept. What is longer is not had back.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// What the HTTP library is given.
pub(crate) struct KeptBody(Shared);

/// The way back to the body.
pub(crate) struct Keeper(Shared);

/// `None` when the body was had back.
type Shared = Arc<Mutex<Option<Source>>>;

struct Source {
    body: Body,
    keeping: Keeping,
    is_ended: bool,
}

enum Keeping {
    /// All that was taken so far, and its length.
    All(VecDeque<Part>, usize),
    /// More was taken than is kept, or the body failed, or nobody wants it back.
    Nothing,
}

enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl KeptBody {
    pub(crate) fn new(body: Body) -> (Self, Keeper) {
        let shared = Arc::new(Mutex::new(Some(Source {
            body,
            keeping: Keeping::All(VecDeque::new(), 0),
            is_ended: false,
        })));
        (Self(Arc::clone(&shared)), Keeper(shared))
    }
}

impl Keeper {
    /// The body as it was before anything of it was taken, if it was kept.
    pub(crate) fn take_back(self) -> Option<Body> {
        let source = lock(&self.0).take()?;
        match source.keeping {
            Keeping::All(taken, _) if taken.is_empty() && !source.is_ended => Some(source.body),
            Keeping::All(taken, _) => Some(body(Again {
                taken,
                rest: (!source.is_ended).then_some(source.body),
            })),
            Keeping::Nothing => None,
        }
    }

    /// The request was taken: nothing is kept any longer.
    pub(crate) fn let_go(self) {
        if let Some(source) = lock(&self.0).as_mut() {
            source.keeping = Keeping::Nothing;
        }
    }
}

impl HttpBody for KeptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match lock(&self.0).as_mut() {
            Some(source) => source.poll_frame(cx),
            None => Poll::Ready(Some(Err("the request is sent again elsewhere".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0)
            .as_ref()
            .is_some_and(|source| source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0)
            .as_ref()
            .map_or_else(SizeHint::default, |source| source.body.size_hint())
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep(frame),
            Some(Err(_)) => self.keeping = Keeping::Nothing,
            None => self.is_ended = true,
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Keeping::All(parts, length) = &mut self.keeping else {
            return;
        };
        if let Some(data) = frame.data_ref() {
            *length += data.len();
            parts.push_back(Part::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            parts.push_back(Part::Trailers(trailers.clone()));
        }
        if *length > MAX_KEPT_BYTES {
            self.keeping = Keeping::Nothing;
        }
    }
}

/// A body whose beginning was taken before.
struct Again {
    taken: VecDeque<Part>,
    /// `None` when it had ended.
    rest: Option<Body>,
}

impl HttpBody for Again {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.taken.pop_front() {
            Some(Part::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Part::Trailers(trailers)) => {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            None => {}
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map(|rest| rest.size_hint());
        let rest = rest.unwrap_or_else(|| SizeHint::with_exact(0));
        let taken: usize = (self.taken.iter())
            .map(|part| match part {
                Part::Data(data) => data.len(),
                Part::Trailers(_) => 0,
            })
            .sum();
        let taken = taken as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(taken));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(taken));
        }
        hint
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Option<Source>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};

    use super::*;

    fn parts(parts: &[&'static [u8]]) -> Body {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok::<_, BoxError>(Frame::data(Bytes::from_static(part))))
            .collect();
        UnsyncBoxBody::new(StreamBody::new(futures::stream::iter(frames)))
    }

    async fn whole(body: Body) -> Vec<u8> {
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn what_was_taken_comes_first_again() {
        for taken in 0..=3 {
            let (mut given, keeper) = KeptBody::new(parts(&[b"a", b"b", b"c"]));
            for _ in 0..taken {
                given.frame().await.unwrap().unwrap();
            }
            if taken == 3 {
                assert!(given.frame().await.is_none());
            }
            assert_eq!(whole(keeper.take_back().unwrap()).await, b"abc");
            // What still holds the old body gets nothing of it, and no end that looks like one.
            assert!(given.frame().await.unwrap().is_err());
        }
    }

    #[tokio::test]
    async fn lengths_stay_right() {
        let (mut given, keeper) = KeptBody::new(body(Full::new(Bytes::from_static(b"12345"))));
        assert_eq!(given.size_hint().exact(), Some(5));
        given.frame().await.unwrap().unwrap();
        let again = keeper.take_back().unwrap();
        assert_eq!(again.size_hint().exact(), Some(5));
        assert!(!again.is_end_stream());
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_failed_or_is_let_go_is_not_had_back() {
        static LONG: [u8; MAX_KEPT_BYTES] = [0; MAX_KEPT_BYTES];
        let (mut given, keeper) = KeptBody::new(parts(&[&LONG, b"x"]));
        given.frame().await.unwrap().unwrap();
        given.frame().await.unwrap().unwrap();
        assert!(keeper.take_back().is_none());

        let failing = StreamBody::new(futures::stream::iter([Err::<Frame<Bytes>, BoxError>(
            "it failed".into(),
        )]));
        let (mut given, keeper) = KeptBody::new(UnsyncBoxBody::new(failing));
        assert!(given.frame().await.unwrap().is_err());
        assert!(keeper.take_back().is_none());

        let (mut given, keeper) = KeptBody::new(parts(&[b"a", b"b"]));
        given.frame().await.unwrap().unwrap();
        keeper.let_go();
        assert_eq!(given.collect().await.unwrap().to_bytes(), &b"b"[..]);
    }
}
