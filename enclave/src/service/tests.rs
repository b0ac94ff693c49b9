use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use dauth_protocol::Problem;
use http_body::Frame;
use http_body_util::Full;

use super::*;

mod calls;
mod enclave;
mod stop;

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

async fn problem(code: Code, method: &str) -> Problem {
    let method = method.parse().unwrap();
    let response = refused(Refusal::new(code, "detail"), &method);
    let body = response.into_body().collect().await.expect("own words");
    serde_json::from_slice(&body.to_bytes()).unwrap()
}

#[tokio::test]
async fn what_may_have_been_done_is_retryable_by_idempotent_methods_alone() {
    for code in Code::ALL {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            assert_eq!(problem(code, method).await.retryable, code.retryable());
        }
    }
    for method in ["POST", "PATCH", "BREW"] {
        assert!(!problem(Code::DownstreamUnreachable, method).await.retryable);
        assert!(!problem(Code::DownstreamTimeout, method).await.retryable);
        assert!(problem(Code::EnclaveUnavailable, method).await.retryable);
    }
}
