//! Calls that are allowed: the secret reaches the upstream in its place and nothing else does; the
//! reply comes back without it.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use dauth_dispatch::DpopKey;
use dauth_simulator::{mcp_client, memory::scan};
use dauth_tests::{Chunks, Enclave, Ran, Request, Stack, Upstream};
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);
/// What stands in a reply for the secret.
const REDACTED: &str = "[redacted]";

/// A secret with characters that percent- and JSON-escaping change.
fn random_secret() -> String {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    format!("sk/{}+\"&<=", hex::encode(bytes))
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

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

/// The forms in which a reply may hold the secret.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let percent: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
    let json_escaped = secret
        .chars()
        .map(|c| format!("\\u{:04x}", c as u32))
        .collect();
    let aligned = |pad: &str| STANDARD.encode(format!("{pad}{secret}==="));
    vec![
        ("raw", secret.to_owned()),
        ("JSON", json!(secret).to_string()),
        ("JSON, all escaped", json_escaped),
        ("percent", percent.clone()),
        ("percent, lower", percent.to_ascii_lowercase()),
        ("hex", hex::encode(secret)),
        ("hex, upper", hex::encode_upper(secret)),
        ("Basic", STANDARD.encode(format!("me:{secret}"))),
        ("base64, 0", aligned("")),
        ("base64, 1", aligned("x")),
        ("base64, 2", aligned("xx")),
        ("base64url", URL_SAFE_NO_PAD.encode(secret)),
    ]
}

/// What of each form must be gone: its middle, which no alignment changes.
fn assert_without(text: &str, secret: &str, what: &str) {
    for (form, rendered) in forms(secret) {
        let middle = &rendered[rendered.len() / 4..rendered.len() * 3 / 4];
        assert!(
            !text.contains(middle),
            "{what}: {form} is in the reply: {text}"
        );
    }
}

/// Echoes the request and every form of its secret, in pieces whose length the path names.
async fn reflect(request: Request) -> Response<Chunks> {
    let secret = request.headers["authorization"].to_str().unwrap();
    let secret = secret.trim_start_matches("Bearer ").to_owned();
    let fields: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let mut body = json!({ "before": 1, "headers": fields }).to_string();
    let mut response = Response::builder().header("content-type", "text/plain");
    for (number, (_, rendered)) in forms(&secret).into_iter().enumerate() {
        response = response.header(format!("x-form-{number}"), format!("<{rendered}>"));
        body += &format!("\n{number}: <{rendered}>");
    }
    body += "\nthe end";
    let pieces = request.uri.path().trim_start_matches('/').parse().unwrap();
    response.body(Chunks::of(body.as_bytes(), pieces)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reply_that_holds_the_secret_in_any_form_comes_redacted() {
    let stack = Stack::start();
    let file = stack.file();
    let upstream = Upstream::start(&file, &[], reflect).await;
    let secret = random_secret();
    let options = [
        "--bearer",
        "--allow",
        "GET /*",
        "--server",
        &file.clients.mcp.resource,
    ];
    let handle = stack.connect("echo", &upstream.base_url(), &secret, &options);
    for pieces in ["/1", "/7", "/61", "/100000"] {
        let shown = ok(stack.dauth(&["call", &handle, "GET", pieces, "--include"]));
        assert_without(&shown, &secret, pieces);
        let (head, body) = shown.split_once("\n\n").unwrap();
        assert!(
            body.starts_with("{\"before\":1,"),
            "what is no secret stays: {shown}"
        );
        assert!(body.contains("the end"), "the whole reply came: {shown}");
        assert!(
            body.contains(&format!("\"authorization\":\"Bearer {REDACTED}\"")),
            "{shown}"
        );
        for number in 0..forms(&secret).len() {
            for part in [head, body] {
                let line = part.lines().find(|l| {
                    l.starts_with(&format!("{number}: "))
                        || l.starts_with(&format!("x-form-{number}: "))
                });
                assert!(line.unwrap().contains(REDACTED), "{number}: {shown}");
            }
        }
    }
    // That the upstream sent it at all is what makes the above say anything.
    let sent = upstream.requests().pop().unwrap();
    assert_eq!(
        sent.headers["authorization"].to_str().unwrap(),
        format!("Bearer {secret}")
    );

    let key = DpopKey::generate().unwrap();
    let resource = &file.clients.mcp.resource;
    let token = file.clients.sdk.tokens(&file);
    let token = token
        .client_credentials(resource, Some("demo:call"), &key)
        .await
        .unwrap();
    let arguments = json!({ "connection": "echo", "method": "GET", "path": "/7" });
    let Value::Object(arguments) = arguments else {
        unreachable!()
    };
    let result = mcp_client::call_tool(resource, token, Arc::new(key), "call_api", arguments)
        .await
        .unwrap();
    assert_eq!(result["status"], 200, "{result}");
    let body = result["body"].as_str().unwrap();
    assert_without(body, &secret, "the MCP tool");
    assert!(body.contains(&format!("Bearer {REDACTED}")), "{result}");
}

/// Reflects the secret, with a field in the head of each reply that no other reply has.
async fn reflect_at_once(request: Request) -> Response<Full<Bytes>> {
    let secret = request.headers["authorization"].to_str().unwrap();
    Response::builder()
        .header("x-unique", request.uri.path())
        .body(Full::from(format!("<{secret}>")))
        .unwrap()
}

/// A compression table of HTTP/2 keeps field values as long as the session lives; it must not keep
/// the buffer that they were read into, for the reflected secret may lie there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reflected_secret_is_not_kept_by_the_callers_session() {
    let stack = Stack::start();
    let file = stack.file();
    let upstream = Upstream::start(&file, &[], reflect_at_once).await;
    let secret = random_secret();
    let options = ["--bearer", "--allow", "GET /*"];
    let handle = stack.connect("kept", &upstream.base_url(), &secret, &options);
    let key = stack.owner_key();
    let tokens = file.clients.sdk.tokens(&file);
    let resource = &file.enclave.resource;
    let token = tokens
        .client_credentials(resource, None, &key)
        .await
        .unwrap();
    let session = Enclave::open(&file).await;
    for number in 0..20 {
        let target = format!("/v1/connections/{handle}/{number}");
        let answer = session.call(&target, &token, &key).await;
        assert_eq!(answer.body, format!("<Bearer {REDACTED}>"));
    }
    let forms = [("raw", secret.into_bytes())];
    let mut found = Vec::new();
    let deadline = Instant::now() + GONE_AFTER;
    loop {
        match scan(file.enclave.pid, &forms) {
            Ok(now) => found = now,
            // Root alone can look.
            Err(error) => println!("the enclave cannot be looked into: {error}"),
        }
        if found.is_empty() || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(found.is_empty(), "{found:?}");
    drop(session);
}
