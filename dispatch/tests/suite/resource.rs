//! Requests to a protected resource.
use dauth_dispatch::{AccessToken, DpopKey, ResourceClient, ResourceError, Stated, web::SecureUrl};
use dauth_protocol::{Code, Problem};
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
            Some("n2") => {
                let code = Code::ConnectionNotFound;
                let problem = Problem::new(code, Some("not yours")).to_json();
                let mut response = reply(404, None, &String::from_utf8(problem).unwrap());
                let value = code.as_str().parse().unwrap();
                response.headers_mut().insert("dauth-error", value);
                response
            }
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
            stated: Stated::Dauth(refusal),
            ..
        }) => {
            assert_eq!(refusal.code, Code::ConnectionNotFound);
            assert_eq!(refusal.detail.as_deref(), Some("not yours"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.seen("/v1/x").len(), 3, "no nonce was asked for");
}
