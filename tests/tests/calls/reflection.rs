//! Upstreams that send the secret back, in every form, to each kind of caller.
use std::{sync::Arc, time::SystemTime};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_simulator::mcp_client;
use dauth_tests::{Chunks, Request, Stack, StackFile, Upstream};
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use crate::{REDACTED, form, judge, ok, random_secret};

/// Every way to write the secret that the request brought, by form, each in brackets.
fn written(request: &Request) -> Vec<(&'static str, Vec<String>)> {
    let credential = request.headers["authorization"].to_str().unwrap();
    let (secret, is_basic) = match credential.split_once(' ').unwrap() {
        ("Basic", basic) => {
            let decoded = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
            (decoded.strip_prefix("me:").unwrap().to_owned(), true)
        }
        (_, secret) => (secret.to_owned(), false),
    };
    let forms = form::ALL.into_iter();
    forms
        // What it is made of is searched where it was sent so.
        .filter(|(_, form)| is_basic || !form.injection.contains("basic"))
        .map(|(name, form)| (name, (form.write)(&secret)))
        .collect()
}

fn in_brackets(written: &[String]) -> String {
    let all: Vec<_> = written.iter().map(|text| format!("<{text}>")).collect();
    all.join(" ")
}

/// Answers `/status/length` with all forms in the head, and in a body in pieces of that length.
async fn reflect(request: Request) -> Response<Chunks> {
    let mut path = request.uri.path().split('/').skip(1);
    let status: u16 = path.next().unwrap().parse().unwrap();
    let pieces = path.next().unwrap().parse().unwrap();
    let is_value = |text: &String| text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let mut response = Response::builder().status(status);
    let mut body = "before\n".to_owned();
    for (name, mut written) in written(&request) {
        body += &format!("{name}: {}\n", in_brackets(&written));
        written.retain(is_value);
        response = response
            .header(format!("x-{name}"), in_brackets(&written))
            .header(
                "location",
                format!("https://elsewhere.example/?{}", written[0]),
            );
    }
    body += "after";
    response.body(Chunks::of(body.as_bytes(), pieces)).unwrap()
}

/// What the caller is to see of that body, and a line that he is to see of the head.
fn expected(request: &Request) -> (String, Vec<String>) {
    let marked = |count| in_brackets(&vec![REDACTED.to_owned(); count]);
    let mut body = "before\n".to_owned();
    let mut head = Vec::new();
    for (name, written) in written(request) {
        body += &format!("{name}: {}\n", marked(written.len()));
        let values = written.iter().filter(|text| !text.contains(['\r', '\n']));
        head.push(format!("x-{name}: {}", marked(values.count())));
    }
    (body + "after", head)
}

#[track_caller]
fn assert_without(text: &str, secret: &str, what: &str) {
    assert!(
        !judge::holds_piece(text.as_bytes(), secret),
        "{what}: {text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reply_that_holds_the_secret_in_any_form_comes_redacted() {
    let stack = Stack::start();
    let file = stack.file();
    let upstream = Upstream::start(&file, &[], reflect).await;
    let secret = random_secret();
    let resource = file.clients.mcp.resource.as_str();
    let allowed = ["--allow", "GET /**", "--server", resource];
    for (name, injection) in [("bearer", &["--bearer"][..]), ("basic", &["--basic", "me"])] {
        let options = [injection, &allowed].concat();
        let handle = stack.connect(name, &upstream.base_url(), &secret, &options);
        for path in ["/200/7", "/302/61", "/404/997", "/500/100000"] {
            let shown = ok(stack.dauth(&["call", &handle, "GET", path, "--include"]));
            assert_without(&shown, &secret, path);
            // That the upstream sent it at all is what makes the above say anything.
            let sent = upstream.requests().pop().unwrap();
            let is_sent = |(_, written): (_, Vec<String>)| {
                written
                    .iter()
                    .all(|text| judge::holds(text.as_bytes(), &secret))
            };
            assert!(written(&sent).into_iter().all(is_sent));

            let (head, body) = shown.split_once("\n\n").unwrap();
            let (expected_body, lines) = expected(&sent);
            assert_eq!(body.trim_end(), expected_body, "{path}");
            for line in lines {
                assert!(
                    head.lines().any(|l| l == line),
                    "{path} lacks {line}: {head}"
                );
            }
            let location = format!("location: https://elsewhere.example/?{REDACTED}");
            assert!(head.lines().any(|line| line == location), "{path}: {head}");
        }
        through_the_mcp_tool(&file, &upstream, name, &secret).await;
        through_the_gateway(&file, &upstream, &handle, &secret).await;
    }
}

async fn callers_token(file: &StackFile, key: &DpopKey) -> AccessToken {
    let tokens = file.clients.sdk.tokens(file);
    let resource = &file.clients.mcp.resource;
    tokens
        .client_credentials(resource, Some("demo:call"), key)
        .await
        .unwrap()
}

async fn through_the_mcp_tool(file: &StackFile, upstream: &Upstream, name: &str, secret: &str) {
    let key = DpopKey::generate().unwrap();
    let token = callers_token(file, &key).await;
    let arguments = json!({ "connection": name, "method": "GET", "path": "/200/7" });
    let Value::Object(arguments) = arguments else {
        unreachable!()
    };
    let resource = &file.clients.mcp.resource;
    let result = mcp_client::call_tool(resource, token, Arc::new(key), "call_api", arguments)
        .await
        .unwrap();
    assert_eq!(result["status"], 200, "{result}");
    assert_without(&result.to_string(), secret, "the MCP tool");
    let (body, _) = expected(&upstream.requests().pop().unwrap());
    assert_eq!(result["body"], body.as_str());
}

async fn through_the_gateway(file: &StackFile, upstream: &Upstream, handle: &str, secret: &str) {
    let token = callers_token(file, &DpopKey::generate().unwrap()).await;
    let request = json!({ "method": "GET", "path": "/404/61" });
    let body = json!({ "connection_handle": handle, "request": request }).to_string();
    let reply = dispatch(file, &token, body).await;
    assert_without(&reply, secret, "the gateway");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["response"]["status"], 404, "{reply}");
    let (body, lines) = expected(&upstream.requests().pop().unwrap());
    assert_eq!(reply["response"]["body"], body.as_str());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(reply["response"]["headers"][name], value);
    }
}

/// `POST /dispatch`, signed as the stack's deployment.
async fn dispatch(file: &StackFile, token: &AccessToken, body: String) -> String {
    let gateway = &file.gateway;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let timestamp = now.unwrap().as_secs();
    let digest = hex::encode(Sha256::digest(&body));
    let message = format!("{timestamp}:{}:{digest}", gateway.deployment_id);
    let key = STANDARD.decode(&gateway.auth_secret).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let url: http::Uri = gateway.url.parse().unwrap();
    let request = http::Request::post("/dispatch")
        .header("host", "localhost")
        .header("x-dedalus-timestamp", timestamp)
        .header("x-dedalus-deployment", &gateway.deployment_id)
        .header(
            "x-dedalus-signature",
            hex::encode(hmac::sign(&key, message.as_bytes())),
        )
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let stream = TcpStream::connect(url.authority().unwrap().as_str())
        .await
        .unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}
