//! TLS, the parent's answers, and connections that are used again or not.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dauth_protocol::Code;
use http::Method;
use tokio::{runtime::Handle, sync::Notify};

use super::fixture::{Act, Fixture, HOST, SECRET, Script, always, call, reply, text, write};

async fn code(fixture: &Fixture) -> Code {
    fixture.send(call()).await.err().unwrap().code
}

/// Makes a call and reads its body.
async fn whole(fixture: &Fixture) -> String {
    text(fixture.send(call()).await.unwrap().into_body())
        .await
        .unwrap()
        .0
}

/// How many connections two calls take when each gets `reply`.
async fn dialled_for_two(reply: Vec<u8>) -> usize {
    let case = String::from_utf8_lossy(&reply).into_owned();
    let fixture = Fixture::new(always(reply));
    for _ in 0..2 {
        assert_eq!(whole(&fixture).await, "fine", "{case}");
    }
    fixture.dialled()
}

#[tokio::test]
async fn the_certificate_must_bear_the_base_urls_host() {
    let fixture = Fixture::with(always(reply("", "")), "other.example", 200);
    assert_eq!(code(&fixture).await, Code::DownstreamTlsError);
    assert!(fixture.requests().is_empty(), "no request left");

    let mut unknown = Fixture::new(always(reply("", "")));
    unknown.upstream = Fixture::new(always("")).with_transport_of(&unknown);
    assert_eq!(
        code(&unknown).await,
        Code::DownstreamTlsError,
        "another root"
    );
    assert!(unknown.requests().is_empty());
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    let fixture = Fixture::with(always(reply("", "fine")), "127.0.0.1", 200);
    let mut call = call();
    call.policy.base_url = "https://127.0.0.1:8443".parse().unwrap();
    let response = fixture.send(call).await.unwrap();
    assert_eq!(text(response.into_body()).await.unwrap().0, "fine");
    assert!(fixture.requests()[0].starts_with("GET /me HTTP/1.1\r\nhost: 127.0.0.1:8443\r\n"));
}

#[tokio::test]
async fn what_the_parent_answers_has_its_code() {
    for (status, expected) in [
        (403, Code::DownstreamUnreachable),
        (502, Code::DownstreamUnreachable),
        (504, Code::DownstreamTimeout),
        (500, Code::EnclaveUnavailable),
        (0, Code::EnclaveUnavailable),
    ] {
        let fixture = Fixture::with(always(""), HOST, status);
        assert_eq!(code(&fixture).await, expected, "{status}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_timeout() {
    let fixture = Fixture::new(Arc::new(|_| Vec::new()));
    let mut call = call();
    call.policy.limits.timeout_ms = 200;
    assert_eq!(
        fixture.send(call).await.err().unwrap().code,
        Code::DownstreamTimeout
    );
}

#[tokio::test]
async fn a_connection_serves_its_own_caller_and_record_again() {
    let fixture = Fixture::new(always(reply("", "fine")));
    for _ in 0..3 {
        assert_eq!(whole(&fixture).await, "fine");
    }
    assert_eq!(fixture.dialled(), 1);
    let mut other = call();
    other.caller = "b".repeat(43);
    drop(fixture.send(other).await.unwrap());
    assert_eq!(fixture.dialled(), 2, "another caller");
    let mut other = call();
    other.fingerprint = dauth_protocol::Fingerprint::of(b"another record");
    drop(fixture.send(other).await.unwrap());
    assert_eq!(fixture.dialled(), 3, "another record");
    let mut other = call();
    other.policy.base_url = format!("https://{HOST}:444").parse().unwrap();
    drop(fixture.send(other).await.unwrap());
    assert_eq!(fixture.dialled(), 4, "another authority");
}

#[tokio::test]
async fn a_connection_with_anything_wrong_is_not_used_again() {
    let echo = reply("", format!("key is {SECRET}"));
    let extra = [reply("", "a"), reply("", "smuggled")].concat();
    let unfinished = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec();
    for (bad, case) in [(echo, "echo"), (extra, "extra"), (unfinished, "framing")] {
        let fixture = Fixture::new(always(bad));
        let first = fixture.send(call()).await.unwrap();
        let _ = text(first.into_body()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = fixture.send(call()).await.unwrap();
        let body = text(second.into_body()).await;
        assert!(
            body.is_err() || !body.unwrap().0.contains("smuggled"),
            "{case}"
        );
        assert_eq!(fixture.dialled(), 2, "{case}");
    }
    // Fields that the caller does not get.
    let removed = [
        format!("set-cookie: {SECRET}\r\n"),
        format!("content-md5: {SECRET}\r\n"),
        format!("dauth-echo: {SECRET}\r\n"),
        format!("connection: x-hop\r\nx-hop: {SECRET}\r\n"),
    ]
    .map(|fields| reply(&fields, "fine"));
    let trailer = |value: &str| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}4\r\nfine\r\n0\r\nset-cookie: {value}\r\n\r\n").into_bytes()
    };
    for bad in removed.into_iter().chain([trailer(SECRET)]) {
        assert_eq!(dialled_for_two(bad).await, 2);
    }
    assert_eq!(dialled_for_two(trailer("a=b")).await, 1);
    // Interim replies, which nothing searches.
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n",
    ] {
        let bad = [interim.as_bytes(), &reply("", "fine")].concat();
        assert_eq!(dialled_for_two(bad).await, 2);
    }
    // A body that the caller did not read to its end.
    let fixture = Fixture::new(always(reply("", "x".repeat(100_000))));
    drop(fixture.send(call()).await.unwrap());
    drop(fixture.send(call()).await.unwrap());
    assert_eq!(fixture.dialled(), 2);
}

#[tokio::test]
async fn a_secret_where_nobody_is_given_it_closes_the_connection() {
    let extended = |extension: &str| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}4{extension}\r\nfine\r\n0{extension}\r\n\r\n").into_bytes()
    };
    let base64 = BASE64_STANDARD.encode(SECRET);
    for form in [
        SECRET,
        &SECRET.to_uppercase(),
        &base64,
        &hex::encode(SECRET),
    ] {
        assert_eq!(
            dialled_for_two(extended(&format!(";x=\"{form}\""))).await,
            2,
            "{form}"
        );
    }
    // An extension alone is no anomaly (RFC 9112 section 7.1.1).
    assert_eq!(dialled_for_two(extended(";x=y")).await, 1);
}

/// Answers once on each connection, then takes a request and hangs up.
fn goes_stale() -> Script {
    let count = AtomicUsize::new(0);
    Arc::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        1 => vec![Act::Close],
        _ => vec![write(reply("", "fine"))],
    })
}

#[tokio::test]
async fn only_what_is_idempotent_and_empty_is_repeated() {
    let fixture = Fixture::new(goes_stale());
    assert_eq!(whole(&fixture).await, "fine");
    assert_eq!(
        whole(&fixture).await,
        "fine",
        "repeated on a new connection"
    );
    assert_eq!((fixture.dialled(), fixture.requests().len()), (2, 3));
    let requests = fixture.requests();
    assert!(
        requests.iter().all(|request| request == &requests[0]),
        "the same bytes each time"
    );

    for (method, body) in [(Method::POST, ""), (Method::PUT, "body")] {
        let fixture = Fixture::new(goes_stale());
        assert_eq!(whole(&fixture).await, "fine");
        let mut call = call();
        call.method = method;
        let refusal = fixture.send_body(call, SECRET, body).await.err().unwrap();
        assert_eq!(refusal.code, Code::DownstreamUnreachable);
        assert_eq!(fixture.requests().len(), 2, "not repeated");
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_replaced_for_any_method() {
    let fixture = Fixture::new(Arc::new(|_| vec![write(reply("", "fine")), Act::Close]));
    assert_eq!(whole(&fixture).await, "fine");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut call = call();
    call.method = Method::POST;
    fixture.send_body(call, SECRET, "body").await.unwrap();
    assert_eq!(fixture.dialled(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let never = Arc::new(Notify::new());
    let fixture = Fixture::new(Arc::new(move |_| {
        vec![write(reply("", "fine")), Act::Wait(Arc::clone(&never))]
    }));
    assert_eq!(whole(&fixture).await, "fine");
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut stuck = call();
    stuck.method = Method::POST;
    stuck.policy.limits.timeout_ms = 100;
    // More than the upstream, which reads no further, and all buffers on the way take.
    let body = "x".repeat(1 << 20).leak();
    let refusal = fixture.send_body(stuck, SECRET, body).await.err().unwrap();
    assert_eq!(refusal.code, Code::DownstreamTimeout);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(fixture.dialled(), 1);
    assert_eq!(tasks(), before - 1, "the connection's task has ended");
}
