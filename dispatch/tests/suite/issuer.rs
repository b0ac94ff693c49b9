//! Token requests.
use dauth_dispatch::{
    ClientCredentials, DiscoveryError, DpopKey, TokenClient, TokenError, web::MAX_REPLY_BYTES,
};
use http::Response;
use serde_json::json;
use zeroize::Zeroizing;

use crate::plain_server::{PlainServer, Seen, proof, reply};

const ISSUED: &str = r#"{"access_token":"t1","token_type":"DPoP","expires_in":60,"scope":"a b"}"#;
const NONCE_WANTED: &str = r#"{"error":"use_dpop_nonce"}"#;

/// An issuer whose metadata is right and whose token endpoint does `answer`.
async fn issuer(
    answer: impl Fn(&str, &Seen) -> Response<String> + Send + Sync + 'static,
) -> PlainServer {
    PlainServer::start(move |url, seen| match seen.head.uri.path() {
        "/.well-known/oauth-authorization-server" => {
            let token_endpoint = format!("{url}/token");
            let metadata = json!({ "issuer": url, "token_endpoint": token_endpoint });
            reply(200, None, &metadata.to_string())
        }
        "/token" => answer(url, seen),
        _ => reply(404, None, ""),
    })
    .await
}

fn client(issuer: &str) -> TokenClient {
    let secret = Zeroizing::new("s".to_owned());
    TokenClient::new(issuer, ClientCredentials::new("c", secret)).unwrap()
}

/// Issues when the proof holds the current nonce, and asks for it when not.
fn strict(url: &str, seen: &Seen) -> Response<String> {
    let proof = proof(&seen.head.headers, "POST", &format!("{url}/token"), None);
    match proof.nonce() {
        Some("n1") => reply(200, Some("n1"), ISSUED),
        _ => reply(400, Some("n1"), NONCE_WANTED),
    }
}

#[tokio::test]
async fn the_nonce_is_learnt_once_and_kept() {
    let server = issuer(strict).await;
    let (client, key) = (client(&server.url), DpopKey::generate().unwrap());
    let token = client
        .client_credentials("https://r", Some("a b"), &key)
        .await;
    let token = token.unwrap();
    assert_eq!((token.expose(), token.scope()), ("t1", Some("a b")));
    client
        .exchange("subject", "https://r", None, &key)
        .await
        .unwrap();
    let seen = server.seen("/token");
    assert_eq!(
        seen.len(),
        3,
        "one request without the nonce, then one each"
    );
    assert_eq!(
        seen[1].body,
        "grant_type=client_credentials&resource=https%3A%2F%2Fr&scope=a+b"
    );
    assert_eq!(
        seen[2].body,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&\
         subject_token=subject&\
         subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&\
         resource=https%3A%2F%2Fr"
    );
    assert!(
        seen.iter()
            .all(|s| s.head.headers["authorization"] == "Basic Yzpz")
    );
    let discovered = server.seen("/.well-known/oauth-authorization-server");
    assert_eq!(discovered.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_never_content_is_asked_twice() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let server = issuer(move |_, _| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        reply(400, Some(&format!("n{number}")), NONCE_WANTED)
    })
    .await;
    let key = DpopKey::generate().unwrap();
    let refused = client(&server.url)
        .client_credentials("r", None, &key)
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("use_dpop_nonce"));
    assert_eq!(server.seen("/token").len(), 2);
}

#[tokio::test]
async fn another_error_with_a_nonce_is_final() {
    let refusal = r#"{"error":"invalid_target","error_description":"not your resource"}"#;
    let server = issuer(move |_, _| reply(400, Some("n1"), refusal)).await;
    let key = DpopKey::generate().unwrap();
    let refused = client(&server.url).exchange("t", "r", None, &key).await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), Some("invalid_target"));
    assert!(error.to_string().ends_with("not your resource"));
    assert_eq!(server.seen("/token").len(), 1);
}

#[tokio::test]
async fn credentials_follow_no_redirect() {
    let elsewhere = PlainServer::start(|_, _| reply(200, None, ISSUED)).await;
    let target = elsewhere.url.clone();
    let server = issuer(move |_, _| {
        let mut response = reply(307, None, "");
        response
            .headers_mut()
            .insert("location", target.parse().unwrap());
        response
    })
    .await;
    let key = DpopKey::generate().unwrap();
    let refused = client(&server.url)
        .client_credentials("r", None, &key)
        .await;
    assert!(matches!(refused, Err(TokenError::Status(307))));
    assert!(elsewhere.log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_without_end_is_not_read_to_its_end() {
    let server = issuer(|_, _| reply(200, None, &" ".repeat(MAX_REPLY_BYTES + 1))).await;
    let key = DpopKey::generate().unwrap();
    let refused = client(&server.url)
        .client_credentials("r", None, &key)
        .await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("mebibyte"), "{error}");
}

#[tokio::test]
async fn metadata_of_another_issuer() {
    let server = PlainServer::start(|url, _| {
        let metadata = json!({ "issuer": format!("{url}/"), "token_endpoint": url });
        reply(200, None, &metadata.to_string())
    })
    .await;
    let key = DpopKey::generate().unwrap();
    let refused = client(&server.url)
        .client_credentials("r", None, &key)
        .await;
    assert!(matches!(
        refused,
        Err(TokenError::Discovery(DiscoveryError::OtherIssuer { .. }))
    ));
    let plain = client("http://as.example")
        .client_credentials("r", None, &key)
        .await;
    assert!(matches!(
        plain,
        Err(TokenError::Discovery(DiscoveryError::Issuer(_)))
    ));
}
