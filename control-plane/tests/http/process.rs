//! Discovery, health, the https listener, restarts.
use std::sync::Arc;

use dauth_control_plane::tls_identity;
use dauth_token::Jwks;
use http::Method;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    owner::{Party, claims},
    stack::{ENCLAVE, ISSUER, Stack, send_on},
};

#[tokio::test]
async fn metadata_lists_what_there_is_and_nothing_else() {
    let stack = Stack::start().await;
    let metadata = stack.get("/.well-known/oauth-authorization-server").await;
    let openid = stack.get("/.well-known/openid-configuration").await;
    assert_eq!(metadata.body, openid.body);
    let metadata = metadata.json();
    assert_eq!(metadata["issuer"], ISSUER);
    assert_eq!(metadata["token_endpoint"], format!("{ISSUER}/oauth2/token"));
    assert_eq!(
        metadata["jwks_uri"],
        format!("{ISSUER}/.well-known/jwks.json")
    );
    let enclave = json!({"resource": ENCLAVE, "ingress": "enclave.example:443"});
    assert_eq!(metadata["dauth_enclave"], enclave);
    let algorithms = &metadata["dpop_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!(["ES256", "EdDSA", "Ed25519"]));
    assert_eq!(
        metadata["grant_types_supported"].as_array().unwrap().len(),
        2
    );
    for (name, value) in metadata.as_object().unwrap() {
        let is_missing = value.as_str().is_some_and(|url| {
            name.ends_with("_endpoint") && url != format!("{ISSUER}/oauth2/token")
        });
        assert!(!is_missing, "{name} is advertised");
    }
    assert!(
        !metadata.to_string().contains("evil.example"),
        "X-Forwarded-Host is ignored"
    );
}

#[tokio::test]
async fn the_enclave_gets_the_same_keys_over_https_with_the_pinned_key() {
    let stack = Stack::start().await;
    let identity = tls_identity(stack.state_dir()).unwrap();
    assert_eq!(identity.spki_sha256, stack.spki_sha256);
    // Each start makes another certificate of the same key, so the client here trusts the key.
    let stream = TcpStream::connect(stack.https_address).await.unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates({
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from(identity.certificate.clone()))
                .unwrap();
            roots
        })
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let reply = send_on(stream, Method::GET, "/.well-known/jwks.json", &[], "").await;
    assert_eq!(reply.body, stack.get("/.well-known/jwks.json").await.body);
    assert_eq!(Jwks::parse(&reply.body).unwrap().iter().count(), 1);
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let stack = Stack::start().await;
    Party::new("alice").token(&stack, ENCLAVE).await;
    assert_eq!(stack.get("/healthz").await.status, 200);
    assert_eq!(stack.get("/readyz").await.status, 200);
    assert_eq!(stack.get("/no/such/path").await.status, 404);
    let text = String::from_utf8(stack.get("/metrics").await.body).unwrap();
    let issued = "dauth_control_plane_tokens_issued_total{grant_type=\"client_credentials\"} 1";
    assert!(text.contains(issued), "{text}");
    assert!(
        text.contains("route=\"/healthz\",status=\"200\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_restart_keeps_keys_connections_and_subjects() {
    let stack = Stack::start().await;
    let alice = Party::new("alice");
    alice.connect(&stack, "ddls:conn:1", &[]).await;
    let token = alice.token(&stack, ENCLAVE).await;
    let before = claims(&stack, &token, ENCLAVE).await;
    let pin = stack.spki_sha256.clone();

    let stack = stack.restart().await;
    assert_eq!(stack.spki_sha256, pin);
    assert_eq!(
        claims(&stack, &token, ENCLAVE).await,
        before,
        "the old token still verifies"
    );
    let token = alice.token(&stack, ENCLAVE).await;
    let after = claims(&stack, &token, ENCLAVE).await;
    assert_eq!(
        (after.sub, after.fingerprints),
        (before.sub, before.fingerprints)
    );
}
