//! Tokens and proofs that do not belong to the call.
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_protocol::Code;
use dauth_tests::Enclave;

use crate::scene::{Scene, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_and_proofs_that_do_not_belong_to_the_call() {
    let scene = Scene::set().await;
    let file = &scene.file;
    let enclave = Enclave::open(file).await;
    let key = scene.stack.owner_key();
    let target = target(&scene.handle);
    let token = scene.owners_token(&file.enclave.resource, &key).await;
    assert_eq!(enclave.call(&target, &token, &key).await.body, "done");

    let dpop = format!("DPoP {}", token.expose());
    let proof = |nonce: Option<&str>| enclave.proof(&key, &token, ("GET", &target), nonce);
    let with = |authorization: String, proof: String| {
        let (enclave, target) = (&enclave, &target);
        async move {
            let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
            enclave.send("GET", target, &fields).await
        }
    };

    // A proof is good for one request, on this session or another.
    let used = proof(Some(&enclave.nonce()));
    assert_eq!(with(dpop.clone(), used.clone()).await.status, 200);
    with(dpop.clone(), used.clone())
        .await
        .assert_refused(Code::InvalidToken, "used before");
    let again = Enclave::open(file).await;
    let fields = [("authorization", dpop.as_str()), ("dpop", &used)];
    again
        .send("GET", &target, &fields)
        .await
        .assert_refused(Code::InvalidToken, "used before");

    // A bound token is no bearer token, and nothing without a proof.
    let bearer = format!("Bearer {}", token.expose());
    let fresh = || proof(Some(&enclave.nonce()));
    with(bearer.clone(), fresh())
        .await
        .assert_refused(Code::InvalidToken, "Bearer");
    let alone = enclave
        .send("GET", &target, &[("authorization", &bearer)])
        .await;
    alone.assert_refused(Code::InvalidToken, "Bearer");
    let alone = enclave
        .send("GET", &target, &[("authorization", &dpop)])
        .await;
    alone.assert_refused(Code::InvalidToken, "proof");
    enclave
        .send("GET", &target, &[])
        .await
        .assert_refused(Code::InvalidToken, "Authorization");
    let twice = [
        ("authorization", dpop.as_str()),
        ("authorization", &dpop),
        ("dpop", &fresh()),
    ];
    enclave
        .send("GET", &target, &twice)
        .await
        .assert_refused(Code::InvalidToken, "more than one");

    // Without a nonce of this very enclave, and with what it answers.
    for stale in [None, Some("AAAA")] {
        let refused = with(dpop.clone(), proof(stale)).await;
        refused.assert_refused(Code::UseDpopNonce, "nonce");
        let nonce = refused.headers["dpop-nonce"].to_str().unwrap();
        assert_eq!(with(dpop.clone(), proof(Some(nonce))).await.status, 200);
    }

    // For another method, another address, another token; by another key.
    let nonce = || enclave.nonce();
    let other = enclave.proof(&key, &token, ("POST", &target), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "another method");
    let elsewhere = target.replace("/ok", "/other");
    let other = enclave.proof(&key, &token, ("GET", &elsewhere), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "another URI");
    let second = scene.owners_token(&file.enclave.resource, &key).await;
    let other = enclave.proof(&key, &second, ("GET", &target), Some(&nonce()));
    with(dpop.clone(), other)
        .await
        .assert_refused(Code::InvalidToken, "not for this access token");
    let stranger = DpopKey::generate().unwrap();
    let other = enclave.call(&target, &token, &stranger).await;
    other.assert_refused(Code::InvalidToken, "another key");

    // For another audience: the issuer itself, and the MCP server.
    for audience in [&file.issuer, &file.clients.mcp.resource] {
        let token = scene.owners_token(audience, &key).await;
        let refused = enclave.call(&target, &token, &key).await;
        refused.assert_refused(Code::InvalidToken, "another resource");
    }
    let (head, signature) = token.expose().rsplit_once('.').unwrap();
    let forged = AccessToken::new(format!(
        "{head}.{}",
        signature.chars().rev().collect::<String>()
    ));
    let refused = enclave.call(&target, &forged, &key).await;
    refused.assert_refused(Code::InvalidToken, "");
}
