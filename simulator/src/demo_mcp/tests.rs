//! The server over its router: MCP in, a verified caller at the tools. What the enclave does is
//! tested with real processes.
use std::{collections::BTreeMap, fs};

use axum::{Json, body::Body, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_token::{
    AccessClaims, Algorithm, Confirmation, Jwk, Jwks, NamedJwk, ProofClaims, SignError, Signer,
    access_token_hash, make_proof, mint_access_token,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const RESOURCE: &str = "http://127.0.0.1:9999/mcp";

/// A P-256 key for issuer and client alike.
struct Key {
    pair: aws_lc_rs::signature::EcdsaKeyPair,
    jwk: Jwk,
}

impl Key {
    fn generate() -> Self {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let jwk = Jwk::from_p256_uncompressed(pair.public_key().as_ref()).unwrap();
        Self { pair, jwk }
    }
}

impl Signer for Key {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        assert_eq!(self.algorithm(), Algorithm::Es256);
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signature = self.pair.sign(&random, message).map_err(|_| SignError)?;
        Ok(signature.as_ref().to_vec())
    }
}

async fn issuer(key: &Key) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    let named = NamedJwk {
        kid: "k".to_owned(),
        key: key.jwk.clone(),
    };
    let keys = Jwks::new(vec![named]).to_json();
    let router = Router::new()
        .route(
            "/.well-known/oauth-authorization-server",
            get(move || async move { Json(metadata) }),
        )
        .route("/keys", get(move || async move { Json(keys) }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn configuration(folder: &std::path::Path, issuer: &str) -> Configuration {
    fs::write(folder.join("secret"), STANDARD.encode("secret")).unwrap();
    let pcr = "00".repeat(48);
    let folder = folder.display();
    toml::from_str(&format!(
        r#"
        listen = "127.0.0.1:9999"
        resource = "{RESOURCE}"
        issuer = "{issuer}"
        client = {{ id = "mcp", secret_file = "{folder}/secret", key_file = "{folder}/key.pem" }}
        [enclave]
        ingress = "127.0.0.1:9"
        resource = "https://enclave.example"
        images = [{{ 0 = "{pcr}", 16 = "{pcr}" }}]
        "#
    ))
    .unwrap()
}

struct Fixture {
    router: Router,
    key: Key,
    token: String,
}

impl Fixture {
    async fn start() -> Self {
        let key = Key::generate();
        let url = issuer(&key).await;
        let folder = tempfile::tempdir().unwrap();
        let router = router(&configuration(folder.path(), &url)).unwrap();
        let now_s = now_s();
        let claims = AccessClaims {
            iss: url,
            sub: "subject".to_owned(),
            aud: RESOURCE.to_owned(),
            exp: now_s + 300,
            iat: now_s,
            nbf: None,
            jti: "token".to_owned(),
            client_id: "client".to_owned(),
            scope: None,
            cnf: Some(Confirmation {
                jkt: key.jwk.thumbprint().as_str().to_owned(),
            }),
            act: None,
            connections: BTreeMap::new(),
            fingerprints: BTreeMap::new(),
            org: None,
            owner: false,
        };
        let token = mint_access_token(&claims, "k", &key).unwrap();
        Self { router, key, token }
    }

    async fn send(&self, id: u64, method: &str, params: Value) -> (u16, Value) {
        let proof = ProofClaims {
            method: "POST",
            htu: RESOURCE,
            iat: now_s(),
            jti: &format!("request-{id}"),
            ath: Some(&access_token_hash(&self.token)),
            nonce: None,
        };
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = http::Request::post("/mcp")
            .header("host", "127.0.0.1:9999")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("authorization", format!("DPoP {}", self.token))
            .header("dpop", make_proof(&proof, &self.key).unwrap())
            .body(Body::from(message.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[tokio::test]
async fn speaks_mcp_to_a_caller_with_a_bound_token() {
    let fixture = Fixture::start().await;
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let (status, reply) = fixture.send(1, "initialize", hello).await;
    assert_eq!(status, 200, "{reply}");
    assert!(
        reply["result"]["capabilities"]["tools"].is_object(),
        "{reply}"
    );

    let (_, reply) = fixture.send(2, "tools/list", json!({})).await;
    let tools = reply["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["call_api", "whoami"]);
}

#[tokio::test]
async fn a_tool_says_which_connection_the_token_lacks() {
    let fixture = Fixture::start().await;
    let call = json!({ "name": "whoami", "arguments": {} });
    let (status, reply) = fixture.send(1, "tools/call", call).await;
    let result = &reply["result"];
    assert_eq!((status, &result["isError"]), (200, &json!(true)), "{reply}");
    assert_eq!(
        result["structuredContent"]["error"]["code"],
        "CONNECTION_NOT_FOUND"
    );
}

#[tokio::test]
async fn strangers_get_the_challenge() {
    let fixture = Fixture::start().await;
    let request = http::Request::post("/mcp").body(Body::empty()).unwrap();
    let response = fixture.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
}
