//! What the receipt says of a reply, however it ends.
use std::sync::Arc;

use bytes::Bytes;
use dauth_protocol::audit::{CallReceipt, Ending, Outcome, Reflection};
use http_body_util::BodyExt as _;
use tokio::sync::Notify;

use super::fixture::{Act, Fixture, SECRET, Script, always, call, reply, write};
use crate::{
    receipt::{
        Arrival,
        tests::{
            parent::{Answer, Books},
            subject,
        },
    },
    reply::ReplyBody,
    suspension::{SUSPENDED, Suspensions},
};

/// A connection of which so many replies in an hour may hold the credential.
struct Calls {
    books: Books,
    suspensions: Suspensions,
    max_per_hour: u64,
}

impl Calls {
    async fn new(max_per_hour: u64) -> Self {
        Self {
            books: Books::new(Answer::Stores).await,
            suspensions: Suspensions::default(),
            max_per_hour,
        }
    }

    /// A reply as the service hands it to the HTTP library.
    async fn reply(&self, script: Script) -> ReplyBody {
        let fixture = Fixture::new(script);
        let mut limited = call();
        limited.policy.limits.max_response_bytes = 100_000;
        let subject = subject(1, &limited.method);
        let connection = subject.connection;
        let arrival = Arrival::now();
        let mut account = self.books.receipts.open(subject, arrival).unwrap();
        let watched = self.suspensions.watch(connection, 1, self.max_per_hour);
        account.watch(watched.unwrap());
        let response = fixture.send(limited).await.unwrap();
        account.answered(response.status());
        ReplyBody::scrubbed(response.into_body()).accounted(account)
    }

    fn is_suspended(&self) -> bool {
        let connection = subject(1, &http::Method::GET).connection;
        let watched = self.suspensions.watch(connection, 1, self.max_per_hour);
        watched.is_err_and(|refusal| refusal == SUSPENDED)
    }

    async fn receipt(&mut self) -> CallReceipt {
        self.books.receipts(1).await.remove(0)
    }
}

/// The receipt of a reply that is read to its end.
async fn read(script: Script) -> (CallReceipt, Option<Bytes>) {
    let mut calls = Calls::new(1).await;
    let collected = calls.reply(script).await.collect().await;
    let body = collected.map(|body| body.to_bytes()).ok();
    let receipt = calls.receipt().await;
    assert_eq!(receipt.outcome, Outcome::Answered { status: 200 });
    (receipt, body)
}

fn chunked(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n").into()
}

#[tokio::test]
async fn a_reply_that_was_read() {
    let whole = [&chunked("fine")[..], b"0\r\n\r\n"].concat();
    for script in [always(reply("", "fine")), always(whole)] {
        let (receipt, body) = read(script).await;
        assert_eq!(body.unwrap(), "fine");
        assert_eq!(receipt.ending, Ending::Complete);
        assert_eq!(receipt.reflection, Reflection::None);
        assert_eq!(receipt.response_bytes, 4);
    }
}

#[tokio::test]
async fn a_reply_without_a_body() {
    let mut calls = Calls::new(1).await;
    // The HTTP library asks such a body for nothing.
    drop(calls.reply(always(reply("", ""))).await);
    let receipt = calls.receipt().await;
    assert_eq!(receipt.ending, Ending::Complete);
    assert_eq!(receipt.response_bytes, 0);
}

#[tokio::test]
async fn a_reply_that_broke_off_or_is_too_long() {
    let broke_off = write(chunked(&"a".repeat(10_000)));
    let broke_off: Script = Arc::new(move |_| vec![broke_off.clone(), Act::Close]);
    let too_long = always(chunked(&"a".repeat(100_001)));
    for script in [broke_off, too_long] {
        let (receipt, body) = read(script).await;
        assert_eq!(body, None);
        assert_eq!(receipt.ending, Ending::Broken);
    }
}

#[tokio::test]
async fn a_reply_whose_caller_left() {
    let mut calls = Calls::new(1).await;
    let never = Arc::new(Notify::new());
    let began = write(chunked(&"a".repeat(10_000)));
    let script: Script = Arc::new(move |_| vec![began.clone(), Act::Wait(Arc::clone(&never))]);
    let mut body = calls.reply(script).await;
    let frame = body.frame().await.unwrap().unwrap();
    drop(body);
    let receipt = calls.receipt().await;
    assert_eq!(receipt.ending, Ending::Abandoned);
    let given = frame.into_data().unwrap().len();
    assert_eq!(receipt.response_bytes, given as u64);
}

#[tokio::test]
async fn a_reply_that_held_the_credential() {
    let in_body = always(reply("", format!("key={SECRET}")));
    let (receipt, body) = read(in_body).await;
    let body = body.unwrap();
    assert_eq!(body, "key=[redacted]");
    assert_eq!(receipt.reflection, Reflection::Redacted);
    assert_eq!(receipt.response_bytes, body.len() as u64);
    let in_head = always(reply(&format!("x-key: {SECRET}\r\n"), ""));
    assert_eq!(read(in_head).await.0.reflection, Reflection::Redacted);
    let and_broke_off = write(chunked(&format!("{SECRET}{}", "a".repeat(10_000))));
    let and_broke_off: Script = Arc::new(move |_| vec![and_broke_off.clone(), Act::Close]);
    let (receipt, _) = read(and_broke_off).await;
    assert_eq!(receipt.reflection, Reflection::Redacted);
    assert_eq!(receipt.ending, Ending::Broken);
}

/// The attack: form after form, until one is not searched.
#[tokio::test]
async fn a_connection_that_reflects_too_often_is_suspended() {
    let mut calls = Calls::new(2).await;
    for reflection in [
        Reflection::Redacted,
        Reflection::Redacted,
        Reflection::Suspended,
    ] {
        assert!(!calls.is_suspended());
        let body = calls.reply(always(reply("", SECRET))).await;
        assert_eq!(body.collect().await.unwrap().to_bytes(), "[redacted]");
        assert_eq!(calls.receipt().await.reflection, reflection);
    }
    assert!(calls.is_suspended());
    let event = calls.books.event().await;
    assert_eq!(event["event"], "connection_suspended");
}

/// The attack: replies that reflect, and that never end.
#[tokio::test]
async fn a_reply_that_goes_on_counts_at_once() {
    let calls = Calls::new(0).await;
    let never = Arc::new(Notify::new());
    let began = write(chunked(&format!("{SECRET}{}", "a".repeat(10_000))));
    let script: Script = Arc::new(move |_| vec![began.clone(), Act::Wait(Arc::clone(&never))]);
    let mut body = calls.reply(script).await;
    body.frame().await.unwrap().unwrap();
    assert!(calls.is_suspended());
}
