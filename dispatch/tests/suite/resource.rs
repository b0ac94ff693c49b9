//! Requests to a protected resource.
use dauth_dispatch::{AccessToken, DpopKey, ResourceClient, ResourceError, web::SecureUrl};
use reqwest::Method;

use crate::plain_server::{PlainServer, proof, reply};

#[tokio::test]
async fn a_request_is_proven_and_repeated_once_for_a_nonce() {
    let server = PlainServer::start(|url, seen| {
        let htu = format!("{url}/v1/x");
        let proof = proof(&seen.head.headers, "POST", &htu, Some("t1"));
        assert_eq!(seen.head.headers["authorization"], "DPoP t1");
        match proof.nonce() {
            Some("n1") => reply(201, Some("n2"), &seen.body),
            Some("n2") => reply(404, None, r#"{"error":"not_found"}"#),
            _ => reply(401, Some("n1"), ""),
        }
    })
    .await;
    let client = ResourceClient::new().unwrap();
    let (token, key) = (AccessToken::new("t1"), DpopKey::generate().unwrap());
    let url = SecureUrl::parse(&format!("{}/v1/x?q=1", server.url)).unwrap();
    let json = serde_json::json!({ "a": 1 });
    let sent = || client.send(Method::POST, &url, Some(&json), &token, &key);
    let created = sent().await.unwrap();
    assert_eq!(
        (created.status, created.body.as_slice()),
        (201, &br#"{"a":1}"#[..])
    );
    assert_eq!(server.seen("/v1/x").len(), 2);
    match sent().await {
        Err(ResourceError::Refused {
            status: 404,
            error: Some(error),
            ..
        }) => {
            assert_eq!(error.error, "not_found");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.seen("/v1/x").len(), 3, "no nonce was asked for");
}
