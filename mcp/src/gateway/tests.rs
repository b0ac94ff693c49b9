use std::{collections::BTreeMap, fs, time::Duration};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_dispatch::DpopKey;
use dauth_protocol::measurement::Pcr;
use dauth_token::ReplayError;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::test_issuer::TestIssuer;

const RESOURCE: &str = "https://mcp.example/mcp";
const DEPLOYMENT: &str = "dep-1";
const SECRET: &[u8] = b"a deployment's own secret";

struct Fixture {
    issuer: TestIssuer,
    router: Router,
    caller: DpopKey,
}

/// A request, each of whose parts a test may change after it was signed, or before.
#[derive(Clone)]
struct Dispatching {
    timestamp: String,
    deployment: String,
    signature: String,
    token: Option<String>,
    body: Vec<u8>,
}

impl Dispatching {
    fn signed(body: &Value, token: &str, timestamp_s: u64) -> Self {
        let body = serde_json::to_vec(body).unwrap();
        let timestamp = timestamp_s.to_string();
        Self {
            signature: Secret::new(SECRET).sign(&timestamp, DEPLOYMENT, &body),
            timestamp,
            deployment: DEPLOYMENT.to_owned(),
            token: Some(token.to_owned()),
            body,
        }
    }
}

impl Fixture {
    async fn start() -> Self {
        let issuer = TestIssuer::start().await;
        Self {
            router: with_deployments(&issuer, &[DEPLOYMENT]).unwrap(),
            issuer,
            caller: DpopKey::generate().unwrap(),
        }
    }

    fn token(&self) -> String {
        self.issuer
            .mint(&self.issuer.claims(RESOURCE, &self.caller))
    }

    async fn send(&self, dispatching: Dispatching) -> (u16, Value) {
        let mut request = http::Request::post("/dispatch")
            .header("x-dedalus-timestamp", dispatching.timestamp)
            .header("x-dedalus-deployment", dispatching.deployment)
            .header("x-dedalus-signature", dispatching.signature);
        if let Some(token) = dispatching.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(dispatching.body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The code of a dispatch whose signature and token are in order.
    async fn code(&self, body: &Value) -> (u16, String) {
        let (status, reply) = self
            .send(Dispatching::signed(body, &self.token(), now_s()))
            .await;
        assert_eq!(reply["success"], false);
        (status, reply["error"]["code"].as_str().unwrap().to_owned())
    }
}

fn with_deployments(issuer: &TestIssuer, ids: &[&str]) -> Result<Router, RunError> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("auth"), STANDARD.encode(SECRET)).unwrap();
    fs::write(file("client"), "client secret\n").unwrap();
    let pcr = |index: &str| (index.to_owned(), Pcr::ZERO);
    let configuration = Configuration {
        listen: ([127, 0, 0, 1], 0).into(),
        issuer: issuer.url.clone(),
        enclave: Enclave {
            ingress: "127.0.0.1:9".to_owned(),
            resource: "https://enclave.example".to_owned(),
            images: vec![BTreeMap::from([pcr("0"), pcr("16")])],
            root_file: None,
            seen_keyset_file: None,
            locked_key: false,
            evidence_max_age_s: 300,
        },
        deployments: ids
            .iter()
            .map(|id| DeploymentConfiguration {
                id: (*id).to_owned(),
                auth_secret_file: file("auth"),
                resource: RESOURCE.parse().unwrap(),
                client: Client {
                    id: "mcp".to_owned(),
                    secret_file: file("client"),
                    key_file: file("key.pem"),
                },
            })
            .collect(),
        max_body_bytes: 4096,
    };
    router(configuration)
}

fn body(connection: &str, path: &str) -> Value {
    json!({ "connection_handle": connection, "request": { "method": "GET", "path": path } })
}

#[tokio::test]
async fn a_request_that_its_deployment_did_not_sign_is_refused() {
    let fixture = Fixture::start().await;
    let good = Dispatching::signed(&body("demo", "/v1/me"), &fixture.token(), now_s());
    let changed = |change: &dyn Fn(&mut Dispatching)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let old = Dispatching::signed(&body("demo", "/v1/me"), &fixture.token(), now_s() - 600);
    let early = Dispatching::signed(&body("demo", "/v1/me"), &fixture.token(), now_s() + 600);
    let cases = [
        ("body", changed(&|d| d.body.push(b' '))),
        (
            "timestamp",
            changed(&|d| d.timestamp = (now_s() + 1).to_string()),
        ),
        (
            "timestamp spelt otherwise",
            changed(&|d| d.timestamp.insert(0, '0')),
        ),
        (
            "timestamp in words",
            changed(&|d| d.timestamp = "now".into()),
        ),
        ("deployment", changed(&|d| d.deployment = "dep-2".into())),
        ("no signature", changed(&|d| d.signature = String::new())),
        (
            "a signature of zeros",
            changed(&|d| d.signature = "0".repeat(64)),
        ),
        ("a long signature", changed(&|d| d.signature.push_str("00"))),
        ("old", old),
        ("of the future", early),
    ];
    for (case, dispatching) in cases {
        let (status, reply) = fixture.send(dispatching).await;
        assert_eq!(
            (status, &reply["success"]),
            (401, &json!(false)),
            "{case}: {reply}"
        );
    }
}

#[tokio::test]
async fn the_very_same_request_is_taken_once() {
    let fixture = Fixture::start().await;
    let dispatching = Dispatching::signed(&body("none", "/v1/me"), &fixture.token(), now_s());
    assert_eq!(fixture.send(dispatching.clone()).await.0, 200);
    assert_eq!(fixture.send(dispatching.clone()).await.0, 409);
    let upper = Dispatching {
        signature: dispatching.signature.to_uppercase(),
        ..dispatching
    };
    let (status, reply) = fixture.send(upper).await;
    assert_eq!(status, 409);
    assert!(!reply.to_string().contains("DPoP"), "{reply}");
}

#[tokio::test]
async fn callers_that_make_the_same_call_in_one_second_do_not_collide() {
    let fixture = Fixture::start().await;
    let one = Dispatching::signed(&body("none", "/v1/me"), &fixture.token(), now_s());
    let mut claims = fixture.issuer.claims(RESOURCE, &fixture.caller);
    claims.jti = "another caller's".to_owned();
    let other = Dispatching {
        token: Some(fixture.issuer.mint(&claims)),
        ..one.clone()
    };
    for dispatching in [&one, &other] {
        assert_eq!(fixture.send(dispatching.clone()).await.0, 200);
        assert_eq!(fixture.send(dispatching.clone()).await.0, 409);
    }
}

#[test]
fn a_full_memory_is_a_limit_and_not_a_replay() {
    for error in [ReplayError::Full, ReplayError::Quota] {
        let refusal = Refusal::Signature(error.into());
        assert!(!refusal.to_string().contains("DPoP"), "{refusal}");
        assert_eq!(refusal.into_response().status(), 429);
    }
}

#[tokio::test]
async fn a_strangers_body_is_not_read() {
    let fixture = Fixture::start().await;
    let good = Dispatching::signed(&body("demo", "/v1/me"), &fixture.token(), now_s());
    let refused = [
        ("dep-2", now_s().to_string()),
        (DEPLOYMENT, (now_s() - 600).to_string()),
        (DEPLOYMENT, "now".to_owned()),
    ];
    for (deployment, timestamp) in refused {
        let request = http::Request::post("/dispatch")
            .header("x-dedalus-timestamp", timestamp)
            .header("x-dedalus-deployment", deployment)
            .header("x-dedalus-signature", &good.signature)
            .body(Body::new(intake::tests::Silent))
            .unwrap();
        let reading = fixture.router.clone().oneshot(request);
        let response = tokio::time::timeout(Duration::from_secs(5), reading).await;
        assert_eq!(response.unwrap().unwrap().status(), 401);
    }
}

#[tokio::test]
async fn two_deployments_of_one_id_are_refused_at_the_start() {
    let issuer = TestIssuer::start().await;
    assert!(with_deployments(&issuer, &["a", "b"]).is_ok());
    let refused = with_deployments(&issuer, &["a", "b", "a"]);
    assert!(matches!(refused, Err(RunError::DeploymentTwice(id)) if id == "a"));
}

#[tokio::test]
async fn the_callers_token_must_be_for_the_deployment() {
    let fixture = Fixture::start().await;
    let claims = fixture.issuer.claims(RESOURCE, &fixture.caller);
    let with = |change: &dyn Fn(&mut dauth_token::AccessClaims)| {
        let mut claims = claims.clone();
        change(&mut claims);
        Some(fixture.issuer.mint(&claims))
    };
    let other = TestIssuer::start().await;
    for (case, token) in [
        ("none", None),
        ("empty", Some(String::new())),
        (
            "another server's",
            with(&|c| c.aud = "https://other.example/mcp".into()),
        ),
        (
            "the enclave's",
            with(&|c| c.aud = "https://enclave.example".into()),
        ),
        (
            "expired",
            with(&|c| (c.iat, c.exp) = (now_s() - 900, now_s() - 600)),
        ),
        ("another issuer's signature", Some(other.mint(&claims))),
    ] {
        let mut dispatching = Dispatching::signed(&body("demo", "/v1/me"), "", now_s());
        dispatching.token = token;
        // Else two cases would be one request, and the second a replay.
        dispatching.body.extend(case.bytes().map(|_| b' '));
        let signature =
            Secret::new(SECRET).sign(&dispatching.timestamp, DEPLOYMENT, &dispatching.body);
        dispatching.signature = signature;
        let (status, reply) = fixture.send(dispatching).await;
        assert_eq!(
            (status, &reply["error"]["code"]),
            (401, &json!("INVALID_TOKEN")),
            "{case}"
        );
    }
}

#[tokio::test]
async fn what_could_reach_elsewhere_is_refused() {
    let fixture = Fixture::start().await;
    for path in [
        "//evil.example/x",
        "/../x",
        "/a/../../x",
        "/a/%2e%2e/x",
        "/a%2fb",
        "/a\r\nx: y",
        "/a\\b",
        "/a;b",
        "https://evil.example/x",
        "@evil.example",
        "",
        "/a?b#c",
        "/a?b c",
    ] {
        let (status, code) = fixture.code(&body("demo", path)).await;
        assert_eq!(
            (status, code.as_str()),
            (200, "INVALID_REQUEST"),
            "{path:?}"
        );
    }
    for name in [
        "Host",
        "Cookie",
        "Proxy-Authorization",
        "Authorization",
        "DPoP",
        "X-Forwarded-Host",
        "Forwarded",
        "X-HTTP-Method-Override",
        "Transfer-Encoding",
        "X-Dedalus-Signature",
        "DAuth-Error",
    ] {
        let mut asked = body("demo", "/v1/me");
        asked["request"]["headers"] = json!({ name: "x" });
        let (status, code) = fixture.code(&asked).await;
        assert_eq!((status, code.as_str()), (200, "INVALID_REQUEST"), "{name}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_match_is_an_error() {
    let fixture = Fixture::start().await;
    for connection in ["other", "", "DEMO", "ddls:conn:other"] {
        let (status, code) = fixture.code(&body(connection, "/v1/me")).await;
        assert_eq!(
            (status, code.as_str()),
            (200, "CONNECTION_NOT_FOUND"),
            "{connection}"
        );
    }
    // These match, and get as far as the exchange, which this issuer refuses.
    for connection in ["demo", "ddls:conn:demo"] {
        let (status, code) = fixture.code(&body(connection, "/v1/me")).await;
        assert_eq!(
            (status, code.as_str()),
            (200, "INVALID_TOKEN"),
            "{connection}"
        );
    }
}

#[tokio::test]
async fn a_malformed_dispatch_is_refused() {
    let fixture = Fixture::start().await;
    let request = |key: &str, value: Value| {
        let mut asked = body("demo", "/v1/me");
        asked["request"][key] = value;
        asked
    };
    for asked in [
        json!([]),
        json!({ "connection_handle": "demo" }),
        request("method", json!("GE T")),
        request("method", json!(1)),
        request("headers", json!({ "a b": "x" })),
        request("headers", json!({ "a": "x\r\ny: z" })),
        request("timeout_ms", json!(0)),
        request("timeout_ms", json!(1_000_000_000)),
    ] {
        let (status, code) = fixture.code(&asked).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_REQUEST"), "{asked}");
    }
    let mut large = body("demo", "/v1/me");
    large["request"]["body"] = "x".repeat(5000).into();
    let dispatching = Dispatching::signed(&large, &fixture.token(), now_s());
    assert_eq!(fixture.send(dispatching).await.0, 413);
}
