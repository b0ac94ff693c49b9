//! Upstreams that send the secret back.
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
use dauth_tests::{Chunks, Enclave, Request, Stack, Upstream};
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{ok, random_secret};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);
/// What stands in a reply for the secret.
const REDACTED: &str = "[redacted]";

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
