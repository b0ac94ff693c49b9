//! Server-sent events through every process.
use std::{
    io::Read,
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use dauth_tests::{Request, Stack, Upstream};
use http::Response;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::{REDACTED, judge, random_secret};

/// A body whose pieces come when the test sends them.
struct Held(UnboundedReceiver<String>);

impl Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = ready!(self.0.poll_recv(context));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

/// An event reaches the caller while the upstream holds the next one back; one that goes on with
/// what the last began does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_event_passes_at_once_and_without_the_secret() {
    let stack = Stack::start();
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let handler = move |_: Request| {
        let body = Held(receiver.lock().unwrap().take().unwrap());
        async {
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(body)
                .unwrap()
        }
    };
    let upstream = Upstream::start(&stack.file(), &[], handler).await;
    let secret = random_secret();
    let options = ["--bearer", "--allow", "GET /events"];
    let handle = stack.connect("events", &upstream.base_url(), &secret, &options);
    let mut command = stack.command(&["call", &handle, "GET", "/events"]);
    let mut caller = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = caller.stdout.take().unwrap();

    let (first, second) = secret.split_at(secret.len() / 2);
    for (sent, expected) in [
        ("data: one\n\n".to_owned(), "data: one\n\n".to_owned()),
        (format!(": {secret}\n\n"), format!(": {REDACTED}\n\n")),
        (format!("data: {first}\n\n"), format!("data: {first}\n\n")),
        (format!("data: {second}.\n\n"), format!("{REDACTED}.\n\n")),
        ("data: end\n\n".to_owned(), "data: end\n\n".to_owned()),
    ] {
        sender.send(sent).unwrap();
        // Nothing more is sent until this has come.
        let mut event = vec![0; expected.len()];
        shown.read_exact(&mut event).unwrap();
        assert_eq!(String::from_utf8_lossy(&event), expected);
        assert!(!judge::holds(&event, second), "{expected}");
    }
    drop(sender);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(caller.wait().unwrap().success());
}
