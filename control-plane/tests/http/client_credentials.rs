//! Client credentials (RFC 6749 section 4.4) and client authentication.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_token::Signer as _;
use http::Method;

use crate::{
    owner::{Party, claims, nonce},
    stack::{ENCLAVE, ISSUER, MCP, SECRET, Stack, form},
};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn an_owner_gets_tokens_for_issuer_and_enclave() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let reply = alice.ask(&stack, &[GRANT]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("cache-control"), "no-store");
    let body = reply.json();
    assert_eq!(body["token_type"], "DPoP");
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["scope"], "notes:read notes:write");
    let own = claims(&stack, body["access_token"].as_str().unwrap(), ISSUER).await;
    assert!(own.owner && own.connections.is_empty());
    assert_eq!(own.org.as_deref(), Some("acme"));
    assert_ne!(own.sub, "alice", "a subject is opaque");
    let holder = alice.jwk().thumbprint();
    assert_eq!(own.cnf.unwrap().jkt, holder.as_str());

    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    let token = alice.token(&stack, ENCLAVE).await;
    let for_enclave = claims(&stack, &token, ENCLAVE).await;
    assert_eq!(for_enclave.sub, own.sub);
    assert_eq!(for_enclave.connections["notes"], "ddls:conn:1");
    assert_eq!(for_enclave.fingerprints["ddls:conn:1"].len(), 64);
    assert!(for_enclave.owner && for_enclave.act.is_none());
}

#[tokio::test]
async fn a_token_for_a_server_names_the_connections_that_name_it() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    alice.connect(&stack, "ddls:conn:2", &[]).await;
    let token = alice.token(&stack, MCP).await;
    let claims = claims(&stack, &token, MCP).await;
    let handles: Vec<_> = claims.connections.values().collect();
    assert_eq!(handles, ["ddls:conn:1"]);
    assert!(!claims.owner && claims.fingerprints.is_empty());
}

#[tokio::test]
async fn connections_of_one_name_are_all_in_the_token() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    for handle in ["ddls:conn:1", "ddls:conn:2", "ddls:conn:3"] {
        alice.connect(&stack, handle, &[]).await;
    }
    let token = alice.token(&stack, ENCLAVE).await;
    let claims = claims(&stack, &token, ENCLAVE).await;
    assert_eq!(
        claims.connections["notes"], "ddls:conn:3",
        "the newest has the name"
    );
    assert_eq!(claims.connections["ddls:conn:1"], "ddls:conn:1");
    assert_eq!(
        (claims.connections.len(), claims.fingerprints.len()),
        (3, 3)
    );
}

#[tokio::test]
async fn a_narrower_scope_can_be_asked_for_and_a_wider_one_not() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let reply = alice.ask(&stack, &[GRANT, ("scope", "notes:read")]).await;
    assert_eq!(reply.json()["scope"], "notes:read");
    for scope in ["notes:read admin", "notes", "NOTES:READ"] {
        let reply = alice.ask(&stack, &[GRANT, ("scope", scope)]).await;
        assert_eq!(reply.error(), (400, "invalid_scope".into()), "{scope}");
    }
}

#[tokio::test]
async fn refuses_resources_that_are_not_known_byte_for_byte() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    for resource in [
        "https://unknown.example",
        "https://enclave.example/",
        "https://enclave.example#f",
        "https://ENCLAVE.example",
        "https://notes.example/mcp/",
        "https://notes.example",
        "/mcp",
    ] {
        let reply = alice.ask(&stack, &[GRANT, ("resource", resource)]).await;
        assert_eq!(reply.error(), (400, "invalid_target".into()), "{resource}");
    }
    let two = [GRANT, ("resource", ENCLAVE), ("resource", MCP)];
    let reply = alice.ask(&stack, &two).await;
    assert_eq!(reply.error(), (400, "invalid_target".into()));
}

#[tokio::test]
async fn unknown_client_and_wrong_secret_look_alike() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let mut replies = Vec::new();
    for credentials in ["alice:wrong", "nobody:wrong", "nobody:", ":"] {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        let proof = alice.token_proof(&nonce(&stack).await);
        let fields = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", basic.as_str()),
            ("dpop", &proof),
        ];
        let reply = stack
            .send(Method::POST, "/oauth2/token", &fields, &form(&[GRANT]))
            .await;
        assert_eq!(reply.error(), (401, "invalid_client".into()));
        assert!(reply.field("www-authenticate").starts_with("Basic "));
        replies.push(reply.body);
    }
    replies.dedup();
    assert_eq!(replies.len(), 1);
}

#[tokio::test]
async fn takes_the_secret_in_the_body_but_not_in_both_places() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let parameters = [GRANT, ("client_id", "alice"), ("client_secret", SECRET)];
    let proof = alice.token_proof(&nonce(&stack).await);
    let fields = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("dpop", proof.as_str()),
    ];
    let reply = stack
        .send(Method::POST, "/oauth2/token", &fields, &form(&parameters))
        .await;
    assert_eq!(reply.status, 200);
    let reply = alice.ask(&stack, &parameters).await;
    assert_eq!(reply.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn refuses_malformed_requests() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "invalid_request"),
        (&[("grant_type", "password")], "unsupported_grant_type"),
        (
            &[("grant_type", "authorization_code")],
            "unsupported_grant_type",
        ),
        (
            &[GRANT, ("scope", "notes:read"), ("scope", "notes:write")],
            "invalid_request",
        ),
    ];
    for (parameters, error) in cases {
        let reply = alice.ask(&stack, parameters).await;
        assert_eq!(reply.error(), (400, error.into()), "{parameters:?}");
        assert_eq!(reply.field("cache-control"), "no-store");
    }
    let json = [("content-type", "application/json")];
    let reply = stack.send(Method::POST, "/oauth2/token", &json, "{}").await;
    assert_eq!(reply.error(), (400, "invalid_request".into()));
    let huge = "a".repeat(100 * 1024);
    let fields = [("content-type", "application/x-www-form-urlencoded")];
    let reply = stack
        .send(Method::POST, "/oauth2/token", &fields, &huge)
        .await;
    assert_eq!(reply.status, 413);
}
