//! An authorization server for tests: metadata, keys, a token endpoint that refuses.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use dauth_dispatch::DpopKey;
use dauth_token::{AccessClaims, Confirmation, Jwks, NamedJwk, mint_access_token};
use serde_json::json;
use tokio::net::TcpListener;

use crate::clock::now_s;

const KID: &str = "test-key";

pub(crate) struct TestIssuer {
    pub(crate) url: String,
    key: DpopKey,
    key_fetches: Arc<AtomicUsize>,
}

impl TestIssuer {
    pub(crate) async fn start() -> Self {
        let key = DpopKey::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key_fetches = Arc::new(AtomicUsize::new(0));
        let metadata = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": format!("{url}/token"),
        });
        let named = NamedJwk {
            kid: KID.to_owned(),
            key: key.jwk().clone(),
        };
        let keys = Jwks::new(vec![named]).to_json();
        let fetched = Arc::clone(&key_fetches);
        let refusal = json!({ "error": "invalid_target", "error_description": "not your token" });
        let router = Router::new()
            .route(
                "/.well-known/oauth-authorization-server",
                get(move || async move { Json(metadata) }),
            )
            .route(
                "/keys",
                get(move || async move {
                    fetched.fetch_add(1, Ordering::Relaxed);
                    Json(keys)
                }),
            )
            .route(
                "/token",
                post(move || async move { (StatusCode::BAD_REQUEST, Json(refusal)) }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            key,
            key_fetches,
        }
    }

    pub(crate) fn key_fetches(&self) -> usize {
        self.key_fetches.load(Ordering::Relaxed)
    }

    pub(crate) fn claims(&self, audience: &str, holder: &DpopKey) -> AccessClaims {
        let now_s = now_s();
        let connections = [("demo".to_owned(), "ddls:conn:demo".to_owned())];
        AccessClaims {
            iss: self.url.clone(),
            sub: "subject".to_owned(),
            aud: audience.to_owned(),
            exp: now_s + 300,
            iat: now_s,
            nbf: None,
            jti: "token".to_owned(),
            client_id: "client".to_owned(),
            scope: Some("tools:read tools:call".to_owned()),
            cnf: Some(Confirmation {
                jkt: holder.thumbprint().as_str().to_owned(),
            }),
            act: None,
            connections: BTreeMap::from(connections),
            fingerprints: BTreeMap::new(),
            org: None,
            owner: false,
        }
    }

    pub(crate) fn mint(&self, claims: &AccessClaims) -> String {
        self.mint_under(claims, KID)
    }

    pub(crate) fn mint_under(&self, claims: &AccessClaims, kid: &str) -> String {
        mint_access_token(claims, kid, &self.key).unwrap()
    }
}
