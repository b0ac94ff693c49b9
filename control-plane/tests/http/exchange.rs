//! Token exchange (RFC 8693).
use dauth_token::Signer as _;
use http::Method;

use crate::{
    owner::{Party, claims, connection, exchange_parameters},
    stack::{ENCLAVE, ISSUER, MCP, OTHER_MCP, Reply, Stack, unique},
};

async fn dispatch_token(stack: &Stack, server: &Party, subject: &str) -> String {
    let reply = server.exchange(stack, subject).await;
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_exchanges_the_token_that_it_was_called_with() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    alice.connect(&stack, "ddls:conn:2", &[OTHER_MCP]).await;
    let subject = alice.token(&stack, MCP).await;
    let reply = mcp.exchange(&stack, &subject).await;
    let body = reply.json();
    assert_eq!(reply.status, 200, "{body}");
    assert_eq!(reply.field("cache-control"), "no-store");
    assert_eq!(
        body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(body["token_type"], "DPoP");

    let given = claims(&stack, body["access_token"].as_str().unwrap(), ENCLAVE).await;
    let before = claims(&stack, &subject, MCP).await;
    assert_eq!((&given.sub, &given.org), (&before.sub, &before.org));
    let actor = given.act.clone().unwrap();
    assert_eq!(
        (actor.sub.as_str(), actor.client_id.as_deref()),
        (MCP, Some("mcp"))
    );
    assert_eq!(
        given.cnf.clone().unwrap().jkt,
        mcp.jwk().thumbprint().as_str()
    );
    assert_eq!(given.scope, before.scope);
    assert!(!given.owner);
    assert!(given.exp - given.iat <= 120 && given.exp <= before.exp);
    assert_eq!(given.connections.len(), 1);
    assert_eq!(
        given.fingerprints.keys().collect::<Vec<_>>(),
        ["ddls:conn:1"]
    );
}

#[tokio::test]
async fn a_server_cannot_exchange_what_is_not_for_it() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    alice
        .connect(&stack, "ddls:conn:1", &[MCP, OTHER_MCP])
        .await;
    for resource in [OTHER_MCP, ENCLAVE, ISSUER] {
        let subject = alice.token(&stack, resource).await;
        let reply = mcp.exchange(&stack, &subject).await;
        assert_eq!(reply.error(), (400, "invalid_grant".into()), "{resource}");
        let description = reply.json()["error_description"].to_string();
        assert!(description.contains("another resource"), "{description}");
    }
}

#[tokio::test]
async fn a_client_that_is_no_server_cannot_exchange() {
    let stack = Stack::start().await;
    let (alice, bob) = (Party::new("alice"), Party::new("bob"));
    let subject = alice.token(&stack, MCP).await;
    let reply = bob.exchange(&stack, &subject).await;
    assert_eq!(reply.error(), (400, "unauthorized_client".into()));
}

#[tokio::test]
async fn the_result_of_an_exchange_is_not_exchanged_again() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    let subject = alice.token(&stack, MCP).await;
    let dispatch = dispatch_token(&stack, &mcp, &subject).await;
    let reply = mcp.exchange(&stack, &dispatch).await;
    assert_eq!(reply.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn nothing_is_widened_by_exchange() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    let asked = [
        ("grant_type", "client_credentials"),
        ("resource", MCP),
        ("scope", "notes:read"),
    ];
    let reply = alice.ask(&stack, &asked).await.json();
    let subject = reply["access_token"].as_str().unwrap();
    // A connection made after the subject token is not in it.
    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    let dispatch = dispatch_token(&stack, &mcp, subject).await;
    let given = claims(&stack, &dispatch, ENCLAVE).await;
    assert_eq!(given.scope.as_deref(), Some("notes:read"));
    assert!(given.connections.is_empty() && given.fingerprints.is_empty());

    let wider = |parameter| {
        let mut parameters = exchange_parameters(subject).to_vec();
        parameters.push(parameter);
        parameters
    };
    let cases = [
        (wider(("scope", "notes:read notes:write")), "invalid_scope"),
        (wider(("resource", MCP)), "invalid_target"),
        (wider(("audience", MCP)), "invalid_target"),
        (wider(("actor_token", "x")), "invalid_request"),
        (wider(("requested_token_type", "urn:x")), "invalid_request"),
    ];
    for (parameters, error) in cases {
        let reply = mcp.ask(&stack, &parameters).await;
        assert_eq!(reply.error(), (400, error.into()), "{parameters:?}");
    }
}

#[tokio::test]
async fn refuses_other_targets_and_subject_tokens() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    let subject = alice.token(&stack, MCP).await;
    let good = exchange_parameters(&subject);
    let with = |name: &str, value: &'static str| {
        let mut parameters = good.to_vec();
        parameters.retain(|(other, _)| *other != name);
        let name = good.iter().find(|(other, _)| *other == name).unwrap().0;
        parameters.push((name, value));
        parameters
    };
    let cases = [
        (with("resource", MCP), "invalid_target"),
        (with("resource", ISSUER), "invalid_target"),
        (
            with("resource", "https://enclave.example/"),
            "invalid_target",
        ),
        (with("subject_token", ""), "invalid_request"),
        (with("subject_token", "a.b.c"), "invalid_grant"),
        (
            with(
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            "invalid_request",
        ),
        (with("subject_token_type", ""), "invalid_request"),
    ];
    for (parameters, error) in cases {
        let reply = mcp.ask(&stack, &parameters).await;
        assert_eq!(
            reply.error(),
            (400, error.into()),
            "{:?}",
            parameters.last()
        );
    }
    // Another issuer's token: the same claims under another key.
    let other = Stack::start().await;
    let foreign = alice.token(&other, MCP).await;
    let reply = mcp.exchange(&stack, &foreign).await;
    assert_eq!(reply.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn reads_connections_afresh() {
    let stack = Stack::start().await;
    let (alice, mcp) = (Party::new("alice"), Party::new("mcp"));
    alice.connect(&stack, "ddls:conn:1", &[MCP]).await;
    let subject = alice.token(&stack, MCP).await;
    let fingerprint = async |stack: &Stack| {
        let token = dispatch_token(stack, &mcp, &subject).await;
        let claims = claims(stack, &token, ENCLAVE).await;
        claims.fingerprints.get("ddls:conn:1").cloned()
    };
    let first = fingerprint(&stack).await.unwrap();

    let rotate = async |servers: &[&str]| -> Reply {
        let mut body = connection("x", &unique(), servers);
        body.as_object_mut()
            .unwrap()
            .retain(|name, _| name != "handle" && name != "name");
        let path = "/v1/connections/ddls:conn:1/rotate";
        alice
            .call(&stack, Method::POST, path, &body.to_string())
            .await
    };
    assert_eq!(rotate(&[MCP]).await.status, 200);
    let second = fingerprint(&stack).await.unwrap();
    assert_ne!(first, second);

    assert_eq!(rotate(&[OTHER_MCP]).await.status, 200);
    assert_eq!(
        fingerprint(&stack).await,
        None,
        "the server is no longer named"
    );
    assert_eq!(rotate(&[MCP]).await.status, 200);
    assert!(fingerprint(&stack).await.is_some());

    let path = "/v1/connections/ddls:conn:1";
    let reply = alice.call(&stack, Method::DELETE, path, "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(fingerprint(&stack).await, None, "revoked");
}
