//! Ways around the search: parts of a body, what describes one, what nobody reads.
use std::{io::Write, sync::Arc};

use dauth_protocol::Code;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use http::{Method, StatusCode};

use super::fixture::{Act, Fixture, SECRET, always, call, injection, reply, text, write};
use crate::scrub::BodyError;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";

/// How many connections two calls take when each is answered so and read to its end.
async fn dialled_for_two(bytes: impl AsRef<[u8]>) -> usize {
    let fixture = Fixture::new(always(bytes));
    for _ in 0..2 {
        if let Ok(response) = fixture.send(call()).await {
            let _ = text(response.into_body()).await;
        }
    }
    fixture.dialled()
}

#[tokio::test]
async fn nothing_that_asks_for_a_part_or_a_coding_reaches_the_upstream() {
    let fixture = Fixture::new(always(reply("", "fine")));
    let mut call = call();
    let asking = [
        "range",
        "if-range",
        "accept-encoding",
        "te",
        "upgrade",
        "expect",
        "http2-settings",
    ];
    for name in asking {
        // A policy that names it was refused when it was sealed; should one get here, it has no say.
        call.policy.request_headers.push(name.to_owned());
        call.headers
            .insert(http::HeaderName::from_static(name), "mine".parse().unwrap());
    }
    fixture.send(call).await.unwrap();
    let request = &fixture.requests()[0];
    assert!(!request.contains("mine"), "{request}");
    assert!(
        request.contains("accept-encoding: identity\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_refused_in_each_dress() {
    let parts = [
        "206 Partial Content\r\ncontent-range: bytes 0-3/26\r\n",
        "206 Partial Content\r\ncontent-type: multipart/byteranges; boundary=x\r\n",
        "206 Fine\r\n",
    ];
    for part in parts {
        let bytes = format!("HTTP/1.1 {part}content-length: 4\r\n\r\nsk-l");
        let fixture = Fixture::new(always(bytes));
        let refusal = fixture.send(call()).await.err().unwrap();
        assert_eq!(refusal.code, Code::ResponseRefused, "{part}");
        let _ = fixture.send(call()).await;
        assert_eq!(fixture.dialled(), 2, "not used again");
    }
}

#[tokio::test]
async fn nothing_tells_of_a_body_as_it_was() {
    let describing = "etag: \"1\"\r\ncontent-md5: x\r\ncontent-digest: x\r\nrepr-digest: x\r\n\
                      digest: x\r\naccept-ranges: bytes\r\n";
    let fixture = Fixture::new(always(reply(describing, format!("<{SECRET}>"))));
    let response = fixture.send(call()).await.unwrap();
    assert!(response.headers().is_empty(), "{:?}", response.headers());
    assert_eq!(text(response.into_body()).await.unwrap().0, "<[redacted]>");

    let trailers = format!("{describing}x-after: 2\r\n");
    let bytes = format!(
        "{CHUNKED}trailer: etag, x-after\r\n\r\n{:x}\r\n{SECRET}\r\n0\r\n{trailers}set-cookie: a=b\r\ndauth-error: X\r\n\
         dpop-nonce: n\r\n\r\n",
        SECRET.len()
    );
    let response = Fixture::new(always(bytes)).send(call()).await.unwrap();
    assert_eq!(response.headers()["trailer"], "x-after");
    let (body, trailers) = text(response.into_body()).await.unwrap();
    assert_eq!(body, "[redacted]");
    let trailers = trailers.unwrap();
    let names: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-after"]);
}

#[tokio::test]
async fn a_trailer_named_by_the_secret_is_left_out() {
    let secret = "sk-live_0123456789~abc";
    for name in [secret.to_owned(), secret.replace("sk", "%73%6B")] {
        let trailers = format!("trailer: x-after, {name}\r\n");
        let bytes = format!("{CHUNKED}{trailers}\r\n0\r\n{name}: 1\r\nx-after: 2\r\n\r\n");
        let fixture = Fixture::new(always(bytes));
        for _ in 0..2 {
            let response = fixture.send_body(call(), secret, "").await.unwrap();
            assert_eq!(response.headers()["trailer"], "x-after");
            let (_, trailers) = text(response.into_body()).await.unwrap();
            let trailers = trailers.unwrap();
            assert_eq!(trailers.len(), 1, "{trailers:?}");
            assert_eq!(trailers["x-after"], "2");
        }
        assert_eq!(fixture.dialled(), 2, "{name}");
    }
}

#[tokio::test]
async fn no_interim_reply_passes_and_each_ends_the_connection() {
    let fields = format!("link: <{SECRET}>; rel=preload\r\nx-key: {SECRET}\r\n\r\n");
    for status in ["100 Continue", "102 Processing", "103 Early Hints", "199 X"] {
        let interim = format!("HTTP/1.1 {status}\r\n{fields}");
        let bytes = [interim.repeat(2).as_bytes(), &reply("", "fine")].concat();
        let fixture = Fixture::new(always(&bytes));
        let response = fixture.send(call()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().len(), 1, "{:?}", response.headers());
        assert_eq!(text(response.into_body()).await.unwrap().0, "fine");
        assert_eq!(dialled_for_two(bytes).await, 2, "{status}");
    }
}

#[tokio::test]
async fn replies_without_a_body_are_searched() {
    for (status, method) in [
        ("204 No Content", Method::DELETE),
        ("304 Not Modified", Method::GET),
        ("200 OK", Method::HEAD),
    ] {
        let bytes = format!("HTTP/1.1 {status}\r\netag: \"{SECRET}\"\r\nx: {SECRET}\r\n\r\n");
        let fixture = Fixture::new(always(bytes));
        for _ in 0..2 {
            let mut call = call();
            call.method = method.clone();
            let response = fixture.send(call).await.unwrap();
            assert_eq!(response.headers()["x"], "[redacted]");
            assert!(response.headers().get("etag").is_none());
        }
        assert_eq!(fixture.dialled(), 2, "{status}");
    }
}

#[tokio::test]
async fn codings_that_cannot_be_searched_are_refused() {
    for coding in [
        "br",
        "zstd",
        "compress",
        "exi",
        "pack200-gzip",
        "aes128gcm",
        "dcb",
        "identity, br",
        "gzip, br",
        "gzip, gzip",
        "gzip, identity, deflate",
        "gzip\r\ncontent-encoding: gzip",
        "g zip",
        "gzip;q=1",
    ] {
        let bytes = reply(&format!("content-encoding: {coding}\r\n"), "x");
        let fixture = Fixture::new(always(bytes));
        for _ in 0..2 {
            let refusal = fixture.send(call()).await.err().unwrap();
            assert_eq!(refusal.code, Code::ResponseRefused, "{coding}");
        }
        assert_eq!(fixture.dialled(), 2, "{coding}");
    }
}

#[tokio::test]
async fn what_surrounds_a_compressed_stream_does_not_pass() {
    let named = GzBuilder::new()
        .filename(SECRET)
        .comment(SECRET)
        .extra(SECRET)
        .write(Vec::new(), Compression::default());
    let finish = |mut encoder: GzEncoder<Vec<u8>>| {
        encoder.write_all(b"fine").unwrap();
        encoder.finish().unwrap()
    };
    let plain = finish(GzEncoder::new(Vec::new(), Compression::default()));
    let named = finish(named);
    let followed = [&plain, SECRET.as_bytes()].concat();
    let head = "content-encoding: gzip\r\n";

    let response = Fixture::new(always(reply(head, named))).send(call()).await;
    let body = text(response.unwrap().into_body()).await.unwrap().0;
    assert_eq!(body, "fine");
    // Not compressed at all, cut short, or with bytes after its end: nothing is passed on as it is.
    for bytes in [SECRET.as_bytes(), &plain[..plain.len() - 1], &followed] {
        let response = Fixture::new(always(reply(head, bytes))).send(call()).await;
        let mut body = response.unwrap().into_body();
        let mut seen = Vec::new();
        let error = loop {
            use http_body_util::BodyExt;
            match body.frame().await.unwrap() {
                Ok(frame) => seen.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert_eq!(error, BodyError::Malformed);
        assert!(b"fine".starts_with(&seen), "{seen:?}");
    }
}

#[tokio::test]
async fn a_stream_of_events_is_known_by_any_spelling_and_decoded() {
    let event = format!("data: <{SECRET}>\n\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(event.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for (head, body) in [
        ("content-type: Text/Event-Stream\r\n", event.as_bytes()),
        (
            "content-type: text/event-stream;charset=utf-8\r\n",
            event.as_bytes(),
        ),
        (
            "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n",
            &gzip,
        ),
    ] {
        let response = Fixture::new(always(reply(head, body))).send(call()).await;
        let body = text(response.unwrap().into_body()).await.unwrap().0;
        assert_eq!(body, "data: <[redacted]>\n\n", "{head}");
    }
}

/// What the upstream got may differ from the secret: each is a secret, and so are its forms.
#[tokio::test]
async fn what_was_sent_is_redacted_as_well_as_what_it_was_made_of() {
    use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
    let escaped = "sk-live-0123456789%2Fabc%2Bdef";
    let basic = "bWU6c2stbGl2ZS0wMTIzNDU2Nzg5L2FiYytkZWY=";
    for (json, sent) in [
        (r#"{"kind":"query","name":"key"}"#, escaped),
        (r#"{"kind":"basic","user":"me"}"#, basic),
        (
            r#"{"kind":"header","template":"X-Key: k {secret}!"}"#,
            SECRET,
        ),
    ] {
        let forms = [
            sent.to_owned(),
            hex::encode(sent),
            BASE64_STANDARD_NO_PAD.encode(sent),
            SECRET.to_owned(),
            hex::encode(SECRET),
        ];
        for form in forms {
            let fixture = Fixture::new(always(reply("", format!("<{form}>"))));
            let mut call = call();
            call.policy.injection = injection(json);
            let response = fixture.send(call).await.unwrap();
            let body = text(response.into_body()).await.unwrap().0;
            assert_eq!(body, "<[redacted]>", "{json} {form}");
        }
    }
}

#[tokio::test]
async fn a_space_may_have_become_a_plus() {
    let secret = "correct horse battery staple";
    let template = r#"{"kind":"header","template":"X-Key: {secret}"}"#;
    for form in [
        "correct+horse+battery+staple",
        "correct%2Bhorse%2Bbattery%2Bstaple",
        "Correct+Horse+Battery+Staple",
    ] {
        let bytes = reply(&format!("x: <{form}>\r\n"), format!("<{form}>"));
        let mut call = call();
        call.policy.injection = injection(template);
        let fixture = Fixture::new(always(bytes));
        let response = fixture.send_body(call, secret, "").await.unwrap();
        assert_eq!(response.headers()["x"], "<[redacted]>", "{form}");
        let body = text(response.into_body()).await.unwrap().0;
        assert_eq!(body, "<[redacted]>", "{form}");
    }
}

/// Whatever an upstream does wrong, what the caller is told is a sentence of this program.
#[tokio::test]
async fn no_refusal_has_a_word_of_the_upstream() {
    let bad = [
        format!("{SECRET}\r\n\r\n"),
        format!("HTTP/1.1 {SECRET}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nx y: {SECRET}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {SECRET}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {SECRET}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {SECRET}\r\ncontent-length: 1\r\n\r\nx"),
        format!("HTTP/1.1 101 {SECRET}\r\nupgrade: {SECRET}\r\nconnection: upgrade\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nx: {SECRET}\r\n  {SECRET}\r\n\r\n"),
        format!("HTTP/9.9 200 OK\r\nx: {SECRET}\r\n\r\n"),
        format!("HTTP/1.1 206 OK\r\nx: {SECRET}\r\ncontent-length: 0\r\n\r\n"),
    ];
    for bytes in bad {
        let reply = write(&bytes);
        let fixture = Fixture::new(Arc::new(move |_| vec![reply.clone(), Act::Close]));
        for _ in 0..2 {
            let refusal = fixture.send(call()).await.err();
            let refusal = refusal.unwrap_or_else(|| panic!("accepted: {bytes}"));
            assert!(!refusal.to_string().contains("sk-live"), "{refusal}");
        }
        assert_eq!(fixture.dialled(), 2, "{bytes}");
    }
}
