//! Replies that would go on for ever.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::limit::MAX_STREAM_AFTER_TOKEN_S;
use http_body_util::BodyExt;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::fixture::{Act, Fixture, Script, call, write};
use crate::{
    clock::now_s,
    scrub::{BodyError, ScrubbedBody},
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const EVENT: &str = "data: x\n\n";
const PAUSE: Duration = Duration::from_secs(10);
/// What is left of the token when the call is made.
const TOKEN_LIFE_S: u64 = 120;
const LIMIT: Duration = Duration::from_secs(TOKEN_LIFE_S + MAX_STREAM_AFTER_TOKEN_S);

/// An event every ten seconds, an hour long.
fn endless() -> Script {
    let head = write(HEAD);
    let events = (0..360).flat_map(|_| [write(EVENT), Act::Pause(PAUSE)]);
    let acts: Vec<Act> = [head].into_iter().chain(events).collect();
    Arc::new(move |_| acts.clone())
}

async fn stream(fixture: &Fixture) -> ScrubbedBody {
    let mut call = call();
    call.token_expires_s = now_s() + TOKEN_LIFE_S;
    fixture.send(call).await.unwrap().into_body()
}

async fn next(body: &mut ScrubbedBody) -> Result<Bytes, BodyError> {
    let frame = body.frame().await.unwrap();
    frame.map(|frame| frame.into_data().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_some_time_after_its_token() {
    let fixture = Fixture::new(endless());
    let mut body = stream(&fixture).await;
    let started = Instant::now();
    let ends = async {
        loop {
            match next(&mut body).await {
                Ok(event) => assert_eq!(event, EVENT),
                Err(error) => break error,
            }
        }
    };
    let error = timeout(2 * LIMIT, ends).await.unwrap();
    assert_eq!(error, BodyError::TokenExpired);
    // The token's time is the system's, which goes on while the test's stands still.
    assert!(started.elapsed() <= LIMIT + PAUSE);
    assert!(started.elapsed() >= LIMIT - 2 * PAUSE, "and not before");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_events_ends_too() {
    let fixture = Fixture::new(Arc::new(|_| vec![write(HEAD), Act::Pause(20 * LIMIT)]));
    let mut body = stream(&fixture).await;
    let error = timeout(LIMIT + PAUSE, next(&mut body)).await.unwrap();
    assert_eq!(error, Err(BodyError::TokenExpired));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_read_keeps_no_connection() {
    let fixture = Fixture::new(endless());
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut body = stream(&fixture).await;
    assert_eq!(next(&mut body).await.unwrap(), EVENT);
    assert!(tasks() > before);
    sleep(LIMIT + 3 * PAUSE).await;
    // The connection's task, the server's and the timer have ended.
    assert_eq!(tasks(), before);
    assert_eq!(next(&mut body).await, Err(BodyError::TokenExpired));
}
