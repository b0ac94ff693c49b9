//! Each way in which a call can end leaves one receipt.
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use dauth_protocol::Code;
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};

use super::*;
use crate::reply::ReplyBody;

/// The receipt of the one call that `end` ends.
async fn receipt_of(method: Method, end: impl AsyncFnOnce(Account)) -> CallReceipt {
    let mut books = Books::new(Answer::Stores).await;
    let subject = subject(1, &method);
    let account = books.receipts.open(subject, Arrival::now()).unwrap();
    let id = account.id();
    end(account).await;
    let receipt = books.receipts(1).await.remove(0);
    assert_eq!(receipt.id, id);
    books.stop().await;
    assert!(books.came().is_none(), "one and no more");
    receipt
}

fn refused(mut account: Account) -> ReplyBody {
    account.refused(Code::PolicyDenied);
    ReplyBody::own(b"sorry".to_vec()).accounted(account)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_read() {
    let receipt = receipt_of(Method::GET, async |account| {
        let body = refused(account).collect().await.unwrap();
        assert_eq!(body.to_bytes(), "sorry");
    })
    .await;
    let code = Code::PolicyDenied;
    assert_eq!(receipt.outcome, Outcome::Refused { code });
    assert_eq!(receipt.ending, Ending::Complete);
    assert_eq!(receipt.response_bytes, 5);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_nobody_read() {
    let receipt = receipt_of(Method::GET, async |account| drop(refused(account))).await;
    assert_eq!(receipt.ending, Ending::Abandoned);
    assert_eq!(receipt.response_bytes, 0);
}

/// The HTTP library drops the body of a reply to HEAD unread.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_head() {
    let receipt = receipt_of(Method::HEAD, async |account| drop(refused(account))).await;
    assert_eq!(receipt.ending, Ending::Complete);
    assert_eq!(receipt.response_bytes, 0);
}

/// The end is there with the last frame: the HTTP library asks for no more.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_asked_for_its_end() {
    let receipt = receipt_of(Method::GET, async |account| {
        let mut body = refused(account);
        body.frame().await.unwrap().unwrap();
        assert!(body.is_end_stream());
    })
    .await;
    assert_eq!(receipt.ending, Ending::Complete);
    assert_eq!(receipt.response_bytes, 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_left_before_it_was_answered() {
    for method in [Method::GET, Method::HEAD] {
        let receipt = receipt_of(method, async |account| {
            tokio::time::advance(Duration::from_millis(1500)).await;
            drop(account);
        })
        .await;
        assert_eq!(receipt.outcome, Outcome::Unanswered);
        assert_eq!(receipt.ending, Ending::Abandoned);
        assert_eq!(receipt.duration_ms, 1500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panicked() {
    let receipt = receipt_of(Method::GET, async |account| {
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _account = account;
            panic!("while the account is open");
        }));
        assert!(panicked.is_err());
    })
    .await;
    assert_eq!(receipt.outcome, Outcome::Unanswered);
    assert_eq!(receipt.ending, Ending::Broken);
    assert_eq!(receipt.reflection, Reflection::None);
}

/// A body of these frames, the last first.
struct Frames(Vec<&'static str>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.pop().map(Bytes::from);
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_upstream_is_counted_up_to_the_policys_limit() {
    for (max_bytes, counted) in [(8, 8), (7, 4), (0, 0)] {
        let receipt = receipt_of(Method::POST, async |mut account| {
            let body = account.sending(Frames(vec!["more", "four"]), max_bytes);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "fourmore");
            account.answered(StatusCode::NO_CONTENT);
        })
        .await;
        assert_eq!(receipt.request_bytes, counted);
        assert_eq!(receipt.outcome, Outcome::Answered { status: 204 });
    }
}

#[tokio::test]
async fn a_counted_body_is_as_long_as_it_was() {
    let books = Books::new(Answer::Hangs).await;
    let account = account(&books.receipts, 1);
    let body = account.sending(Full::new(Bytes::from("four")), 8);
    assert_eq!(body.size_hint().exact(), Some(4));
    assert!(!body.is_end_stream());
    assert!(account.sending(Full::<Bytes>::default(), 8).is_end_stream());
}
