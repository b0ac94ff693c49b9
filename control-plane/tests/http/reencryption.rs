//! Records that come back from the enclave under a newer key.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use coset::{CborSerializable as _, CoseEncrypt0Builder, HeaderBuilder, cbor::Value, iana};
use http::Method;
use serde_json::json;

use crate::{
    owner::{Party, claims, connection},
    stack::{ENCLAVE, HOST_CREDENTIAL, MCP, Reply, Stack},
};

const ONE: &str = "/v1/connections/ddls:conn:1";

/// A record of one header; `body` stands for what a key makes of it.
fn record(body: &str) -> Vec<u8> {
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::A256GCM)
        .text_value("dauth".to_owned(), Value::Bytes(b"header".to_vec()))
        .build();
    let record = CoseEncrypt0Builder::new().protected(protected);
    record.ciphertext(body.into()).build().to_vec().unwrap()
}

fn fingerprint(record: &[u8]) -> String {
    dauth_protocol::Fingerprint::of(record).to_string()
}

fn admitted(record: &[u8]) -> String {
    let receipt = BASE64_STANDARD.encode("new receipt");
    json!({ "record": BASE64_STANDARD.encode(record), "receipt": receipt }).to_string()
}

async fn put(stack: &Stack, opened: &str, credential: &str, body: &str) -> Reply {
    let authorization = format!("Bearer {credential}");
    let path = format!("/internal/records/{opened}");
    let fields = [("authorization", authorization.as_str())];
    stack.send(Method::PUT, &path, &fields, body).await
}

async fn status(stack: &Stack, opened: &[u8], new: &[u8]) -> u16 {
    let reply = put(stack, &fingerprint(opened), HOST_CREDENTIAL, &admitted(new)).await;
    assert!(reply.body.is_empty());
    reply.status.as_u16()
}

async fn get(stack: &Stack, record: &[u8]) -> Reply {
    let authorization = format!("Bearer {HOST_CREDENTIAL}");
    let path = format!("/internal/records/{}", fingerprint(record));
    let fields = [("authorization", authorization.as_str())];
    stack.send(Method::GET, &path, &fields, "").await
}

async fn with_record(servers: &[&str]) -> (Stack, Party) {
    let (stack, alice) = (Stack::start().await, Party::new("alice"));
    let mut body = connection("ddls:conn:1", "", servers);
    body["record"] = BASE64_STANDARD.encode(record("a")).into();
    let body = body.to_string();
    let reply = alice
        .call(&stack, Method::POST, "/v1/connections", &body)
        .await;
    assert_eq!(reply.status, 201);
    (stack, alice)
}

#[tokio::test]
async fn tokens_and_the_owner_get_the_newest_and_old_tokens_stay_good() {
    let (stack, alice) = with_record(&[MCP]).await;
    let mcp = Party::new("mcp");
    let (old, new) = (record("a"), record("b"));
    assert_eq!(status(&stack, &old, &new).await, 204);
    for record in [&old, &new] {
        let reply = get(&stack, record).await;
        assert_eq!((reply.status.as_u16(), &reply.body), (200, record));
    }

    let token = alice.token(&stack, ENCLAVE).await;
    let owners = claims(&stack, &token, ENCLAVE).await;
    let subject = alice.token(&stack, MCP).await;
    let exchanged = mcp.exchange(&stack, &subject).await.json();
    let token = exchanged["access_token"].as_str().unwrap().to_owned();
    let servers = claims(&stack, &token, ENCLAVE).await;
    for claims in [owners, servers] {
        assert_eq!(claims.fingerprints["ddls:conn:1"], fingerprint(&new));
    }

    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(shown["fingerprint"], fingerprint(&new));
    assert_eq!(shown["record"], BASE64_STANDARD.encode(&new));
    assert_eq!(shown["receipt"], BASE64_STANDARD.encode("new receipt"));
    assert_eq!(shown["version"], 1, "the connection is what it was");
}

#[tokio::test]
async fn each_outcome_has_its_status() {
    let (stack, alice) = with_record(&[]).await;
    let [a, b, c] = ["a", "b", "c"].map(record);
    assert_eq!(status(&stack, &c, &b).await, 404);
    assert_eq!(status(&stack, &a, b"another").await, 400);
    assert_eq!(status(&stack, &a, &b).await, 204);
    assert_eq!(status(&stack, &a, &b).await, 409);
    assert_eq!(status(&stack, &a, &c).await, 409);
    alice.call(&stack, Method::DELETE, ONE, "").await;
    assert_eq!(status(&stack, &b, &c).await, 410);
    for gone in [&a, &b] {
        assert_eq!(get(&stack, gone).await.status, 410);
    }
}

#[tokio::test]
async fn refuses_everybody_else_and_what_has_another_form() {
    let (stack, alice) = with_record(&[]).await;
    let opened = fingerprint(&record("a"));
    let good = admitted(&record("b"));
    for credential in ["guess", ""] {
        let reply = put(&stack, &opened, credential, &good).await;
        assert_eq!(reply.status, 401);
    }
    let path = format!("/internal/records/{opened}");
    let reply = alice.call(&stack, Method::PUT, &path, &good).await;
    assert_eq!(
        reply.status, 401,
        "an owner's token is not the parent's credential"
    );

    let long = BASE64_STANDARD.encode(vec![0; 128 * 1024 + 1]);
    let short = BASE64_STANDARD.encode(record("b"));
    for (body, status) in [
        (String::new(), 400),
        (json!({ "record": short }).to_string(), 400),
        (json!({ "record": "?", "receipt": short }).to_string(), 400),
        (json!({ "record": short, "receipt": "" }).to_string(), 400),
        (json!({ "record": long, "receipt": short }).to_string(), 400),
        (json!({ "record": short, "receipt": long }).to_string(), 400),
        (" ".repeat(256 * 1024 + 1), 413),
    ] {
        let reply = put(&stack, &opened, HOST_CREDENTIAL, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{} bytes", body.len());
    }
    let reply = put(&stack, "x", HOST_CREDENTIAL, &good).await;
    assert_eq!(reply.status, 404);
    assert_eq!(get(&stack, &record("b")).await.status, 404);
}

#[tokio::test]
async fn they_survive_a_restart_and_end_with_a_rotation() {
    let (stack, alice) = with_record(&[]).await;
    let [a, b] = ["a", "b"].map(record);
    assert_eq!(status(&stack, &a, &b).await, 204);
    let stack = stack.restart().await;
    assert_eq!(get(&stack, &b).await.status, 200);
    let mut body = connection("x", "record 2", &[]);
    body.as_object_mut()
        .unwrap()
        .retain(|name, _| name != "handle" && name != "name");
    let path = format!("{ONE}/rotate");
    let reply = alice
        .call(&stack, Method::POST, &path, &body.to_string())
        .await;
    assert_eq!(reply.status, 200);
    for gone in [&a, &b] {
        assert_eq!(get(&stack, gone).await.status, 404);
    }
    let shown = alice.call(&stack, Method::GET, ONE, "").await.json();
    assert_eq!(shown["record"], BASE64_STANDARD.encode("record 2"));
}
