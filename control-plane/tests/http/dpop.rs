//! Proofs at the token endpoint and at the connections API (RFC 9449).
use http::Method;

use crate::{
    owner::{Party, nonce},
    stack::{ENCLAVE, ISSUER, Reply, Stack},
};

const GRANT: &[(&str, &str)] = &[("grant_type", "client_credentials")];

#[tokio::test]
async fn the_token_endpoint_wants_a_proof_with_its_nonce() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let reply = alice.ask_with(&stack, &[], GRANT).await;
    assert_eq!(reply.error(), (400, "invalid_dpop_proof".into()));

    let without = alice.proof("POST", "/oauth2/token", None, None);
    let reply = alice.ask_with(&stack, &[("dpop", &without)], GRANT).await;
    assert_eq!(reply.error(), (400, "use_dpop_nonce".into()));
    let nonce = reply.field("dpop-nonce").to_owned();

    let with = alice.token_proof(&nonce);
    let reply = alice.ask_with(&stack, &[("dpop", &with)], GRANT).await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers.contains_key("dpop-nonce"));
}

#[tokio::test]
async fn refuses_another_servers_nonce_and_that_of_an_earlier_start() {
    let (stack, other) = (Stack::start().await, Stack::start().await);
    let alice = Party::new("alice");
    let foreign = alice.token_proof(&nonce(&other).await);
    let reply = alice.ask_with(&stack, &[("dpop", &foreign)], GRANT).await;
    assert_eq!(reply.error(), (400, "use_dpop_nonce".into()));

    let used = alice.token_proof(&nonce(&stack).await);
    let reply = alice.ask_with(&stack, &[("dpop", &used)], GRANT).await;
    assert_eq!(reply.status, 200);
    let stack = stack.restart().await;
    let reply = alice.ask_with(&stack, &[("dpop", &used)], GRANT).await;
    assert_eq!(
        reply.error(),
        (400, "use_dpop_nonce".into()),
        "replay after a restart"
    );
}

#[tokio::test]
async fn a_proof_passes_once() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let proof = alice.token_proof(&nonce(&stack).await);
    let fields = [("dpop", proof.as_str())];
    let replies: Vec<Reply> = futures_of(20, || alice.ask_with(&stack, &fields, GRANT)).await;
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(passed, 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.error(), (400, "invalid_dpop_proof".into()));
    }
}

#[tokio::test]
async fn refuses_two_proofs_and_proofs_for_elsewhere() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let nonce = nonce(&stack).await;
    let good = alice.token_proof(&nonce);
    let twice = [("dpop", good.as_str()), ("dpop", good.as_str())];
    let reply = alice.ask_with(&stack, &twice, GRANT).await;
    assert_eq!(reply.error(), (400, "invalid_dpop_proof".into()));
    for (method, path) in [
        ("GET", "/oauth2/token"),
        ("post", "/oauth2/token"),
        ("POST", "/oauth2/token/"),
        ("POST", "/oauth2/Token"),
        ("POST", "/oauth2/token?a=b"),
        ("POST", "/v1/connections"),
        ("POST", "@evil.example/oauth2/token"),
    ] {
        let proof = alice.proof(method, path, None, Some(&nonce));
        let reply = alice.ask_with(&stack, &[("dpop", &proof)], GRANT).await;
        assert_eq!(
            reply.error(),
            (400, "invalid_dpop_proof".into()),
            "{method} {path}"
        );
    }
}

/// Sends `GET /v1/connections` with any fields.
async fn list(stack: &Stack, fields: &[(&str, &str)]) -> Reply {
    stack.send(Method::GET, "/v1/connections", fields, "").await
}

#[tokio::test]
async fn the_api_wants_the_holder_of_an_owners_token_for_the_issuer() {
    let stack = Stack::start().await;
    let (alice, thief) = (Party::new("alice"), Party::new("alice"));
    let token = alice.token(&stack, ISSUER).await;
    let authorization = format!("DPoP {token}");
    let nonce = nonce(&stack).await;
    let prove = |party: &Party, token: Option<&str>, nonce: Option<&str>| {
        party.proof("GET", "/v1/connections", token, nonce)
    };

    let bearer = format!("Bearer {token}");
    let good = prove(&alice, Some(&token), Some(&nonce));
    let refused = list(&stack, &[("authorization", &bearer), ("dpop", &good)]).await;
    assert_eq!(refused.code(), (401, "INVALID_TOKEN".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("Bearer"), "{detail}");
    assert!(
        refused
            .field("www-authenticate")
            .starts_with("DPoP error=\"invalid_token\"")
    );

    let cases = [
        (
            "no authorization",
            None,
            Some(good.clone()),
            "INVALID_TOKEN",
        ),
        ("no proof", Some(&authorization), None, "INVALID_TOKEN"),
        (
            "another key",
            Some(&authorization),
            Some(prove(&thief, Some(&token), Some(&nonce))),
            "INVALID_TOKEN",
        ),
        (
            "no ath",
            Some(&authorization),
            Some(prove(&alice, None, Some(&nonce))),
            "INVALID_TOKEN",
        ),
        (
            "another token's ath",
            Some(&authorization),
            Some(prove(&alice, Some("other"), Some(&nonce))),
            "INVALID_TOKEN",
        ),
        (
            "no nonce",
            Some(&authorization),
            Some(prove(&alice, Some(&token), None)),
            "USE_DPOP_NONCE",
        ),
    ];
    for (name, authorization, proof, code) in cases {
        let mut fields = Vec::new();
        fields.extend(authorization.map(|value| ("authorization", value.as_str())));
        fields.extend(proof.as_deref().map(|value| ("dpop", value)));
        let reply = list(&stack, &fields).await;
        assert_eq!(reply.code(), (401, code.into()), "{name}");
        assert_eq!(reply.field("dauth-error"), code);
        assert!(reply.headers.contains_key("dpop-nonce"));
    }

    let fields = [("authorization", authorization.as_str()), ("dpop", &good)];
    assert_eq!(list(&stack, &fields).await.status, 200);
    let replay = list(&stack, &fields).await;
    assert_eq!(
        replay.code(),
        (401, "INVALID_TOKEN".into()),
        "the same proof again"
    );
}

#[tokio::test]
async fn the_api_refuses_tokens_for_other_resources() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    let token = alice.token(&stack, ENCLAVE).await;
    let authorization = format!("DPoP {token}");
    let nonce = nonce(&stack).await;
    let proof = alice.proof("GET", "/v1/connections", Some(&token), Some(&nonce));
    let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
    let reply = list(&stack, &fields).await;
    assert_eq!(reply.code(), (401, "INVALID_TOKEN".into()));
}

async fn futures_of<F: Future<Output = Reply>>(count: usize, make: impl Fn() -> F) -> Vec<Reply> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut replies = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(reply) => {
                replies.push(reply);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    replies
}
