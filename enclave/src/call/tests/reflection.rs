//! Upstreams that send the secret back, or a reply that cannot be passed on.
use std::{io::Write, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use dauth_protocol::Code;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use tokio::sync::Notify;

use super::fixture::{Act, Fixture, SECRET, always, call, injection, reply, text, write};
use crate::scrub::BodyError;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_that_echoes_is_redacted_wherever_it_is_split() {
    let body = format!("<{SECRET}> <{}>", BASE64_STANDARD.encode(SECRET));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let splits: Vec<Vec<Act>> = (1..body.len())
        .map(|split| {
            let (first, second) = body.split_at(split);
            let chunk = |text: &str| write(format!("{:x}\r\n{text}\r\n", text.len()));
            vec![write(head), chunk(first), chunk(second), write("0\r\n\r\n")]
        })
        .collect();
    let count = splits.len();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let fixture = Fixture::new(Arc::new(move |_| {
        splits[next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)].clone()
    }));
    for _ in 0..count {
        let response = fixture.send(call()).await.unwrap();
        assert_eq!(
            text(response.into_body()).await.unwrap().0,
            "<[redacted]> <[redacted]>"
        );
    }
}

#[tokio::test]
async fn head_and_trailers_are_redacted() {
    let basic = BASE64_STANDARD.encode(format!("me:{SECRET}"));
    let bytes = format!(
        "HTTP/1.1 200 {SECRET}\r\ntransfer-encoding: chunked\r\nx-echo: {SECRET}\r\n\
         x-basic: Basic {basic}\r\ntrailer: x-after, set-cookie\r\nset-cookie: a=b\r\n\
         etag: \"1\"\r\ndpop-nonce: n\r\ndauth-error: X\r\ncontent-digest: d\r\n\
         connection: x-hop\r\nx-hop: 1\r\n\r\n\
         4\r\nbody\r\n0\r\nx-after: {SECRET}\r\nset-cookie: c=d\r\n\r\n"
    );
    let fixture = Fixture::new(always(bytes));
    let mut call = call();
    call.policy.injection = injection(r#"{"kind":"basic","user":"me"}"#);
    let response = fixture.send(call).await.unwrap();
    let mut fields: Vec<String> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "trailer: x-after",
            "x-basic: Basic [redacted]",
            "x-echo: [redacted]"
        ]
    );
    assert!(response.extensions().get::<ReasonPhrase>().is_none());
    let (body, trailers) = text(response.into_body()).await.unwrap();
    assert_eq!(body, "body");
    let trailers = trailers.unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-after"], "[redacted]");
}

#[tokio::test]
async fn a_reason_and_a_redirect_pass_but_are_not_followed() {
    let location = "https://elsewhere.example/?key=sk-live-0123456789%2fabc%2Bdef";
    let bytes =
        format!("HTTP/1.1 302 Over There\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let fixture = Fixture::new(always(bytes));
    let response = fixture.send(call()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(
        response.headers()["location"],
        "https://elsewhere.example/?key=[redacted]"
    );
    let reason = response.extensions().get::<ReasonPhrase>().unwrap();
    assert_eq!(reason.as_bytes(), b"Over There");
    assert_eq!(fixture.requests().len(), 1);
}

#[tokio::test]
async fn interim_replies_are_not_passed_on() {
    let hints = format!("HTTP/1.1 103 Early Hints\r\nlink: <{SECRET}>\r\n\r\n");
    let fixture = Fixture::new(always([hints.into_bytes(), reply("", "fine")].concat()));
    let response = fixture.send(call()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().get("link").is_none());
    assert_eq!(text(response.into_body()).await.unwrap().0, "fine");
}

#[tokio::test]
async fn compressed_bodies_are_decoded_within_their_limit() {
    let plain = format!("{} {SECRET} {}", "a".repeat(50_000), "b".repeat(50_000));
    let fixture = Fixture::new(always(reply(
        "content-encoding: gzip\r\n",
        gzip(plain.as_bytes()),
    )));
    let response = fixture.send(call()).await.unwrap();
    for name in ["content-encoding", "content-length"] {
        assert!(response.headers().get(name).is_none(), "{name}");
    }
    let (body, _) = text(response.into_body()).await.unwrap();
    assert_eq!(body, plain.replace(SECRET, "[redacted]"));

    let bomb = gzip(&vec![b'0'; 4 << 20]);
    assert!(bomb.len() < 8 * 1024);
    let fixture = Fixture::new(always(reply("content-encoding: gzip\r\n", bomb)));
    let mut call = call();
    call.policy.limits.max_response_bytes = 1 << 20;
    let mut body = fixture.send(call).await.unwrap().into_body();
    let mut received = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => received += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, BodyError::TooLong);
    assert!(received <= 1 << 20);
}

#[tokio::test]
async fn replies_that_cannot_be_searched_or_trusted_are_refused() {
    let refused = [
        reply("content-encoding: br\r\n", "x"),
        reply("content-encoding: gzip, gzip\r\n", "x"),
        reply("transfer-encoding: chunked\r\n", "0\r\n\r\n"),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec(),
        b"HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_vec(),
        b"HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"not HTTP at all\r\n\r\n".to_vec(),
        reply("", "x".repeat(101)),
        reply(&format!("x: {}\r\n", "x".repeat(64 * 1024)), ""),
    ];
    for bytes in refused {
        let case = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let fixture = Fixture::new(always(bytes));
        let mut call = call();
        call.policy.limits.max_response_bytes = 100;
        let refusal = fixture.send(call).await.err().unwrap();
        assert_eq!(refusal.code, Code::ResponseRefused, "{case}");
    }
    let fixture = Fixture::new(always(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n".to_owned() + &"x".repeat(101),
    ));
    let mut call = call();
    call.policy.limits.max_response_bytes = 100;
    let response = fixture.send(call).await.unwrap();
    assert_eq!(
        text(response.into_body()).await.err(),
        Some(BodyError::TooLong)
    );
}

#[tokio::test]
async fn no_transfer_coding_but_chunked_is_accepted() {
    let with = |fields: &str| {
        let body = gzip(SECRET.as_bytes());
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{:x}\r\n", body.len());
        always([head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat())
    };
    for fields in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding:\r\n",
    ] {
        let reply = Fixture::new(with(fields)).send(call()).await;
        assert_eq!(reply.err().unwrap().code, Code::ResponseRefused, "{fields}");
    }
    let fixture = Fixture::new(always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\n\r\n4\r\nfine\r\n0\r\n\r\n",
    ));
    let response = fixture.send(call()).await.unwrap();
    assert_eq!(text(response.into_body()).await.unwrap().0, "fine");
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_what_was_held_back() {
    let fixture = Fixture::new(Arc::new(|_| {
        vec![write(&reply("", "x".repeat(100))[..100]), Act::Close]
    }));
    assert_eq!(
        fixture.send(call()).await.err().unwrap().code,
        Code::ResponseRefused
    );

    let fixture = Fixture::new(Arc::new(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        vec![write(format!("{head}{}", &SECRET[..20])), Act::Close]
    }));
    let mut body = fixture.send(call()).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().err(), Some(BodyError::BrokeOff));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_short_body_keeps_its_fields_unless_it_was_altered() {
    let fields = "etag: \"1\"\r\n";
    let fixture = Fixture::new(always(reply(fields, "plain")));
    let response = fixture.send(call()).await.unwrap();
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(text(response.into_body()).await.unwrap().0, "plain");

    let long = "x".repeat(20_000);
    let altered = [
        reply(fields, SECRET),
        reply(&format!("{fields}x: {SECRET}\r\n"), "plain"),
        reply(
            &format!("{fields}content-encoding: gzip\r\n"),
            gzip(b"plain"),
        ),
        reply(fields, &long),
    ];
    for bytes in altered {
        let response = Fixture::new(always(bytes)).send(call()).await.unwrap();
        for name in ["etag", "content-length", "content-encoding"] {
            assert!(response.headers().get(name).is_none(), "{name}");
        }
        let body = text(response.into_body()).await.unwrap().0;
        assert!([&long, "plain", "[redacted]"].contains(&body.as_str()));
    }
}

#[tokio::test]
async fn what_describes_an_empty_body_passes() {
    let fixture = Fixture::new(always(
        "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 42\r\n\r\n",
    ));
    let mut head = call();
    head.method = Method::HEAD;
    let response = fixture.send(head).await.unwrap();
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert_eq!(response.headers()["content-length"], "42");
    assert_eq!(text(response.into_body()).await.unwrap().0, "");
    let mut head = call();
    head.method = Method::HEAD;
    fixture.send(head).await.unwrap();
    assert_eq!(fixture.dialled(), 1, "pooled");
}

#[tokio::test]
async fn events_arrive_before_the_next_one_is_sent() {
    let notify = Arc::new(Notify::new());
    let waiting = Arc::clone(&notify);
    let fixture = Fixture::new(Arc::new(move |_| {
        let event = format!("data: {SECRET}\n\n");
        vec![
            write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"),
            write(&event),
            Act::Wait(Arc::clone(&waiting)),
            write(&event),
            Act::Close,
        ]
    }));
    let mut body = fixture.send(call()).await.unwrap().into_body();
    for _ in 0..2 {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame())
            .await
            .unwrap();
        assert_eq!(
            frame.unwrap().unwrap().into_data().unwrap(),
            "data: [redacted]\n\n"
        );
        notify.notify_one();
    }
    assert!(body.frame().await.is_none());
}
