//! The secret in its place, the fields that pass either way, the reply.
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dauth_tests::{Request, Stack, Upstream};
use http::Response;
use http_body_util::Full;

use crate::{ok, random_secret};

/// 201, a body that names the request, and fields that no upstream may set.
async fn answer(request: Request) -> Response<Full<Bytes>> {
    Response::builder()
        .status(201)
        .header("x-upstream", "yes")
        .header("set-cookie", "session=1")
        .header("dauth-receipt-id", "forged")
        .header("dauth-error", "POLICY_DENIED")
        .header("dpop-nonce", "forged")
        .body(Full::from(format!(
            "{} {}",
            request.method,
            request.uri.path()
        )))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_injection_delivers_the_secret_in_its_place_and_returns_the_reply() {
    let stack = Stack::start();
    let upstream = Upstream::start(&stack.file(), &[], answer).await;
    let base_url = format!("{}/base", upstream.base_url());
    let secret = random_secret();
    let basic = STANDARD.encode(format!("me:{secret}"));
    let cases: [(&[&str], &str, String); 4] = [
        (&["--bearer"], "authorization", format!("Bearer {secret}")),
        (
            &["--basic", "me"],
            "authorization",
            format!("Basic {basic}"),
        ),
        (
            &["--header", "X-Api-Key: key {secret}"],
            "x-api-key",
            format!("key {secret}"),
        ),
        (&["--query", "api_key"], "", String::new()),
    ];
    for (injection, field, expected) in cases {
        let options = [injection, &["--allow", "POST /notes/*"]].concat();
        let handle = stack.connect("injection", &base_url, &secret, &options);
        let arguments = [
            "call",
            &handle,
            "POST",
            "/notes/7?a=b%20c",
            "--data",
            "text",
        ];
        assert_eq!(ok(stack.dauth(&arguments)), "POST /base/notes/7");
        let sent = upstream.requests().pop().unwrap();
        assert_eq!(sent.method, "POST");
        assert_eq!(sent.body, "text");
        let host = upstream.base_url();
        assert_eq!(sent.headers["host"], host.trim_start_matches("https://"));
        let values: Vec<_> = sent
            .headers
            .iter()
            .filter(|(_, v)| holds(v.as_bytes(), &secret, &basic))
            .collect();
        if field.is_empty() {
            let (_, escaped) = sent
                .uri
                .query()
                .unwrap()
                .split_once("a=b%20c&api_key=")
                .unwrap();
            assert_eq!(unescaped(escaped), secret.as_bytes());
            assert!(values.is_empty() && !sent.headers.contains_key("authorization"));
        } else {
            assert_eq!(sent.uri, "/base/notes/7?a=b%20c");
            assert_eq!(values.len(), 1, "in one field alone: {values:?}");
            assert_eq!(sent.headers.get_all(field).iter().count(), 1);
            assert_eq!(sent.headers[field].to_str().unwrap(), expected);
        }
    }
    let handle = stack.connect(
        "again",
        &base_url,
        &secret,
        &["--bearer", "--allow", "GET /**"],
    );
    the_reply_is_shown_without_what_is_not_the_upstreams_to_say(&stack, &handle);
    callers_fields_pass_by_an_allow_list(&stack, &upstream, &secret, &handle);
}

fn holds(value: &[u8], secret: &str, basic: &str) -> bool {
    [secret, basic]
        .iter()
        .any(|form| value.windows(form.len()).any(|w| w == form.as_bytes()))
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            hex::decode(digits).unwrap()[0]
        } else {
            byte
        });
    }
    plain
}

fn the_reply_is_shown_without_what_is_not_the_upstreams_to_say(stack: &Stack, handle: &str) {
    let shown = ok(stack.dauth(&["call", handle, "GET", "/x", "--include"]));
    let (head, rest) = shown.split_once("\n\n").unwrap();
    assert_eq!(rest, "GET /base/x\n\n", "body, an empty line, no trailers");
    let mut lines = head.lines();
    assert!(lines.next().unwrap().starts_with("HTTP/2 201"), "{head}");
    let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    assert!(fields.contains(&("x-upstream", "yes")));
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    for removed in ["set-cookie", "dauth-error"] {
        assert!(!names.contains(&removed), "{head}");
    }
    for ours in ["dauth-receipt-id", "dpop-nonce"] {
        assert_eq!(
            names.iter().filter(|name| **name == ours).count(),
            1,
            "{head}"
        );
    }
    assert!(!head.contains("forged"), "{head}");
}

fn callers_fields_pass_by_an_allow_list(
    stack: &Stack,
    upstream: &Upstream,
    secret: &str,
    handle: &str,
) {
    let passing = [
        "Accept: text/x",
        "Accept-Language: eo",
        "X-Request-Id: 7",
        "Idempotency-Key: k",
    ];
    let dropped = [
        "Cookie: a=b",
        "X-Forwarded-For: 203.0.113.7",
        "Forwarded: for=203.0.113.7",
        "X-Http-Method-Override: DELETE",
        "X-Original-Url: /admin",
        "Accept-Encoding: br",
        "Range: bytes=0-3",
        "Host: evil.test",
        "DAuth-Error: x",
        "X-Anything: 1",
        "X-Api-Key: mine",
    ];
    let mut arguments = vec!["call", handle, "GET", "/fields"];
    for field in passing.iter().chain(&dropped) {
        arguments.extend(["-H", field]);
    }
    ok(stack.dauth(&arguments));
    let sent = upstream.requests().pop().unwrap().headers;
    for field in passing {
        let (name, value) = field.split_once(": ").unwrap();
        assert_eq!(sent[name.to_ascii_lowercase().as_str()], value);
    }
    let ours = ["accept-encoding", "authorization", "host"];
    let names: Vec<_> = sent.keys().map(http::HeaderName::as_str).collect();
    for name in names {
        let passed = passing
            .iter()
            .any(|f| f.split_once(':').unwrap().0.eq_ignore_ascii_case(name));
        assert!(
            passed || ours.contains(&name),
            "{name} reached the upstream"
        );
    }
    assert_eq!(sent["accept-encoding"], "identity");
    assert_eq!(
        sent["host"],
        upstream.base_url().trim_start_matches("https://")
    );
    assert_eq!(
        sent["authorization"].to_str().unwrap(),
        format!("Bearer {secret}")
    );

    let before = upstream.requests().len();
    for reserved in ["Authorization: Bearer mine", "DPoP: mine"] {
        let refused = stack.dauth(&["call", handle, "GET", "/fields", "-H", reserved]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains("belongs to DAuth itself"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(upstream.requests().len(), before, "nothing was sent");
}
