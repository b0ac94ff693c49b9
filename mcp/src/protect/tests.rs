use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    Extension,
    body::Body,
    http::{Response, StatusCode, header},
    routing::get,
};
use dauth_dispatch::DpopKey;
use dauth_token::{ProofClaims, access_token_hash, make_proof};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::test_issuer::TestIssuer;

mod refusals;

const RESOURCE: &str = "https://mcp.example/mcp";
static NEXT_JTI: AtomicU64 = AtomicU64::new(0);

struct Fixture {
    issuer: TestIssuer,
    key: DpopKey,
    resource: Arc<ProtectedResource>,
    router: Router,
}

async fn fixture(nonces: DpopNonces) -> Fixture {
    let issuer = TestIssuer::start().await;
    let key = DpopKey::generate().unwrap();
    let resource = ProtectedResource::new(RESOURCE.parse().unwrap(), &issuer.url)
        .unwrap()
        .with_scopes(["tools:read".to_owned(), "tools:call".to_owned()])
        .with_keys([key.jwk()])
        .with_nonces(nonces);
    let resource = Arc::new(resource);
    let handler = |Extension(caller): Extension<Caller>, headers: HeaderMap| async move {
        assert!(!headers.contains_key("authorization") && !headers.contains_key("dpop"));
        format!("hello {}", caller.claims().sub)
    };
    let inner = Router::new().route("/mcp", get(handler).post(handler));
    Fixture {
        issuer,
        key,
        router: protect(&resource, inner),
        resource,
    }
}

/// What a proof says; each test changes what it is about.
struct Proof<'a> {
    method: &'a str,
    htu: &'a str,
    iat: u64,
    ath: Option<String>,
    nonce: Option<String>,
}

impl Fixture {
    fn token(&self) -> String {
        self.issuer.mint(&self.issuer.claims(RESOURCE, &self.key))
    }

    fn proof(&self, token: &str) -> Proof<'static> {
        Proof {
            method: "GET",
            htu: RESOURCE,
            iat: now_s(),
            ath: Some(access_token_hash(token)),
            nonce: Some(self.resource.nonces.issue(now_s())),
        }
    }

    async fn send(&self, fields: &[(&str, &str)]) -> Response<Body> {
        let mut request = http::Request::get("/mcp");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn present(&self, token: &str, proof: &str) -> Response<Body> {
        self.send(&[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
            .await
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path)
            .header("host", "evil.example")
            .header("x-forwarded-host", "evil.example")
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}

fn signed(proof: &Proof<'_>, key: &DpopKey) -> String {
    let claims = ProofClaims {
        method: proof.method,
        htu: proof.htu,
        iat: proof.iat,
        jti: &format!("jti-{}", NEXT_JTI.fetch_add(1, Ordering::Relaxed)),
        ath: proof.ath.as_deref(),
        nonce: proof.nonce.as_deref(),
    };
    make_proof(&claims, key).unwrap()
}

fn challenge(response: &Response<Body>) -> &str {
    response.headers()[header::WWW_AUTHENTICATE]
        .to_str()
        .unwrap()
}

/// Refused by 401 with this error, and with a way to find out more.
fn assert_refused(response: &Response<Body>, error: &str, case: &str) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{case}");
    let challenge = challenge(response);
    assert!(
        challenge.contains(&format!("error=\"{error}\"")),
        "{case}: {challenge}"
    );
    let metadata =
        "resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\"";
    assert!(
        challenge.starts_with("DPoP ") && challenge.contains(metadata),
        "{case}"
    );
    assert!(response.headers().contains_key("dpop-nonce"), "{case}");
}

#[tokio::test]
async fn a_bound_token_with_its_proof_passes() {
    let fixture = fixture(DpopNonces::Required).await;
    let token = fixture.token();
    let proof = signed(&fixture.proof(&token), &fixture.key);
    let response = fixture.present(&token, &proof).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello subject");
}

#[tokio::test]
async fn without_credentials_the_challenge_says_where_to_get_them() {
    let fixture = fixture(DpopNonces::Required).await;
    let response = fixture.send(&[("x-forwarded-host", "evil.example")]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = challenge(&response);
    assert!(challenge.contains(
        "resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\""
    ));
    assert!(challenge.contains("scope=\"tools:read tools:call\""));
    assert!(!challenge.contains("error="), "{challenge}");
}

#[tokio::test]
async fn one_proof_passes_once_also_when_sent_a_hundred_times_at_once() {
    let fixture = Arc::new(fixture(DpopNonces::Required).await);
    let token = fixture.token();
    let proof = signed(&fixture.proof(&token), &fixture.key);
    let sending: Vec<_> = (0..100)
        .map(|_| {
            let (fixture, token, proof) = (Arc::clone(&fixture), token.clone(), proof.clone());
            tokio::spawn(async move { fixture.present(&token, &proof).await.status() })
        })
        .collect();
    let mut passed = 0;
    for sent in sending {
        passed += usize::from(sent.await.unwrap() == StatusCode::OK);
    }
    assert_eq!(passed, 1);
    let response = fixture.present(&token, &proof).await;
    assert_refused(&response, "invalid_dpop_proof", "replayed");
}

#[tokio::test]
async fn a_nonce_is_this_servers_own() {
    let fixture = fixture(DpopNonces::Required).await;
    let another = self::fixture(DpopNonces::Required).await;
    let token = fixture.token();
    let foreign = another.resource.nonces.issue(now_s());
    for nonce in [None, Some(foreign), Some("stale".to_owned())] {
        let proof = Proof {
            nonce,
            ..fixture.proof(&token)
        };
        let response = fixture.present(&token, &signed(&proof, &fixture.key)).await;
        assert_refused(&response, "use_dpop_nonce", "nonce");
    }
    // The reply's nonce is good for the next try.
    let response = fixture.send(&[]).await;
    let nonce = response.headers()["dpop-nonce"]
        .to_str()
        .unwrap()
        .to_owned();
    let proof = Proof {
        nonce: Some(nonce),
        ..fixture.proof(&token)
    };
    let response = fixture.present(&token, &signed(&proof, &fixture.key)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_optional_nonce_may_be_missing_and_not_be_wrong() {
    let fixture = fixture(DpopNonces::Optional).await;
    let token = fixture.token();
    let none = Proof {
        nonce: None,
        ..fixture.proof(&token)
    };
    let response = fixture.present(&token, &signed(&none, &fixture.key)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let stale = Proof {
        nonce: Some("stale".to_owned()),
        ..fixture.proof(&token)
    };
    let response = fixture.present(&token, &signed(&stale, &fixture.key)).await;
    assert_refused(&response, "use_dpop_nonce", "stale");
}

#[tokio::test]
async fn without_a_nonce_a_proof_of_before_the_start_is_refused() {
    let fixture = fixture(DpopNonces::Optional).await;
    let token = fixture.token();
    let started_s = fixture.resource.started_s;
    let of = |iat| Proof {
        nonce: None,
        iat,
        ..fixture.proof(&token)
    };
    let before = signed(&of(started_s - 1), &fixture.key);
    let response = fixture.present(&token, &before).await;
    assert_refused(&response, "use_dpop_nonce", "before the start");
    let with_nonce = Proof {
        iat: started_s - 1,
        ..fixture.proof(&token)
    };
    for proof in [of(started_s), with_nonce] {
        let response = fixture.present(&token, &signed(&proof, &fixture.key)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_missing_scope_is_named_with_all_that_are_needed() {
    let fixture = fixture(DpopNonces::Required).await;
    let mut claims = fixture.issuer.claims(RESOURCE, &fixture.key);
    claims.scope = Some("tools:read tools:calls".to_owned());
    let token = fixture.issuer.mint(&claims);
    let proof = signed(&fixture.proof(&token), &fixture.key);
    let response = fixture.present(&token, &proof).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = challenge(&response);
    assert!(challenge.contains("error=\"insufficient_scope\""));
    assert!(
        challenge.contains("scope=\"tools:read tools:call\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn tokens_that_name_unknown_keys_do_not_make_us_ask_at_will() {
    let fixture = fixture(DpopNonces::Required).await;
    let claims = fixture.issuer.claims(RESOURCE, &fixture.key);
    for number in 0..20 {
        let token = fixture
            .issuer
            .mint_under(&claims, &format!("unknown-{number}"));
        let proof = signed(&fixture.proof(&token), &fixture.key);
        assert_refused(
            &fixture.present(&token, &proof).await,
            "invalid_token",
            "unknown key",
        );
    }
    assert_eq!(fixture.issuer.key_fetches(), 1);
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_no_verdict() {
    let issuer = "http://127.0.0.1:9";
    let resource = ProtectedResource::new(RESOURCE.parse().unwrap(), issuer).unwrap();
    let router = protect(
        &Arc::new(resource),
        Router::new().route("/mcp", get(|| async {})),
    );
    let request = http::Request::get("/mcp")
        .header("authorization", "DPoP a.b.c")
        .header("dpop", "a.b.c")
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn publishes_metadata_at_both_addresses_and_its_keys() {
    let fixture = fixture(DpopNonces::Required).await;
    let metadata = fixture.get("/.well-known/oauth-protected-resource").await;
    assert_eq!(
        metadata,
        fixture
            .get("/.well-known/oauth-protected-resource/mcp")
            .await
    );
    assert_eq!(metadata["resource"], RESOURCE);
    assert_eq!(
        metadata["authorization_servers"],
        serde_json::json!([fixture.issuer.url])
    );
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
    assert_eq!(
        metadata["scopes_supported"],
        serde_json::json!(["tools:read", "tools:call"])
    );
    assert_eq!(
        metadata["jwks_uri"],
        "https://mcp.example/.well-known/jwks.json"
    );
    let keys = dauth_token::Jwks::parse(
        fixture
            .get("/.well-known/jwks.json")
            .await
            .to_string()
            .as_bytes(),
    );
    let thumbprints: Vec<_> = keys
        .unwrap()
        .iter()
        .map(|named| named.key.thumbprint())
        .collect();
    assert_eq!(thumbprints, [fixture.key.thumbprint()]);
}
