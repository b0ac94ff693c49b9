use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::Frame;
use http_body_util::Full;

use super::*;

/// A body of which nothing comes.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_does_not_come_is_not_waited_for() {
    let whole = Full::new(Bytes::from_static(b"envelope"));
    assert_eq!(received(whole).await.unwrap(), "envelope");
    let long = Full::new(Bytes::from(vec![0; limit::MAX_ENVELOPE_BYTES + 1]));
    assert_eq!(received(long).await.unwrap_err().code, Code::InvalidRequest);
    let waiting = timeout(2 * ENVELOPE_TIMEOUT, received(Silent)).await;
    let refusal = waiting.expect("in time").unwrap_err();
    assert_eq!(refusal.code, Code::InvalidRequest);
}
