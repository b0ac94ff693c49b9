//! A DPoP client: a key, a client's credentials, and the tokens that it gets.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_token::{
    AccessClaims, AccessTokenRules, Jwk, Jwks, ProofClaims, SignError, Signer, access_token_hash,
    make_proof, verify_access_token,
};
use http::Method;
use serde_json::{Value, json};

use crate::stack::{ISSUER, Reply, SECRET, Stack, form, now_s, unique};

/// One party with a DPoP key of its own.
pub(crate) struct Party {
    pub(crate) client_id: &'static str,
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

impl Signer for Party {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature
            .map(|s| s.as_ref().to_vec())
            .map_err(|_| SignError)
    }
}

impl Party {
    pub(crate) fn new(client_id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            client_id,
            jwk: Jwk::from_p256_uncompressed(pair.public_key().as_ref()).unwrap(),
            pair,
        }
    }

    pub(crate) fn basic(&self) -> String {
        let secret = SECRET.replace(' ', "+");
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{}:{secret}", self.client_id))
        )
    }

    pub(crate) fn proof(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> String {
        let hash = token.map(access_token_hash);
        let claims = ProofClaims {
            method,
            htu: &format!("{ISSUER}{path}"),
            iat: now_s(),
            jti: &unique(),
            ath: hash.as_deref(),
            nonce,
        };
        make_proof(&claims, self).unwrap()
    }

    pub(crate) fn token_proof(&self, nonce: &str) -> String {
        self.proof("POST", "/oauth2/token", None, Some(nonce))
    }

    /// A token request with a good proof.
    pub(crate) async fn ask(&self, stack: &Stack, parameters: &[(&str, &str)]) -> Reply {
        let proof = self.token_proof(&nonce(stack).await);
        self.ask_with(stack, &[("dpop", &proof)], parameters).await
    }

    /// A token request with the given fields beside the client's credentials.
    pub(crate) async fn ask_with(
        &self,
        stack: &Stack,
        fields: &[(&str, &str)],
        parameters: &[(&str, &str)],
    ) -> Reply {
        let basic = self.basic();
        let mut all = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", &basic),
        ];
        all.extend_from_slice(fields);
        stack
            .send(Method::POST, "/oauth2/token", &all, &form(parameters))
            .await
    }

    /// The client's own token for a resource.
    pub(crate) async fn token(&self, stack: &Stack, resource: &str) -> String {
        let parameters = [("grant_type", "client_credentials"), ("resource", resource)];
        let reply = self.ask(stack, &parameters).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A call of an owner's API with a good token and proof. A proof covers no query.
    pub(crate) async fn call(
        &self,
        stack: &Stack,
        method: Method,
        path: &str,
        body: &str,
    ) -> Reply {
        let token = self.token(stack, ISSUER).await;
        let nonce = nonce(stack).await;
        let (url_path, _) = path.split_once('?').unwrap_or((path, ""));
        let proof = self.proof(method.as_str(), url_path, Some(&token), Some(&nonce));
        let authorization = format!("DPoP {token}");
        let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
        stack.send(method, path, &fields, body).await
    }

    pub(crate) async fn connect(&self, stack: &Stack, handle: &str, servers: &[&str]) -> Reply {
        let body = connection(handle, &unique(), servers).to_string();
        self.call(stack, Method::POST, "/v1/connections", &body)
            .await
    }

    pub(crate) async fn exchange(&self, stack: &Stack, subject_token: &str) -> Reply {
        self.ask(stack, &exchange_parameters(subject_token)).await
    }
}

pub(crate) fn exchange_parameters(subject_token: &str) -> [(&str, &str); 4] {
    [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", subject_token),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("resource", crate::stack::ENCLAVE),
    ]
}

/// The body that creates a connection.
pub(crate) fn connection(handle: &str, record: &str, servers: &[&str]) -> Value {
    json!({
        "handle": handle, "name": "notes",
        "record": BASE64_STANDARD.encode(record), "receipt": BASE64_STANDARD.encode("receipt"),
        "base_url": "https://api.example.com/v1", "servers": servers,
        "expires": now_s() + 3600,
    })
}

/// The nonce that a reply gives to whoever asks without one.
pub(crate) async fn nonce(stack: &Stack) -> String {
    let reply = stack.send(Method::POST, "/oauth2/token", &[], "").await;
    reply.field("dpop-nonce").to_owned()
}

/// The claims of a token, which verifies under the published keys.
pub(crate) async fn claims(stack: &Stack, token: &str, audience: &str) -> AccessClaims {
    let keys = Jwks::parse(&stack.get("/.well-known/jwks.json").await.body).unwrap();
    let rules = AccessTokenRules {
        issuer: ISSUER,
        audience,
        keys: &keys,
        now_s: now_s(),
        leeway_s: 0,
    };
    verify_access_token(token, &rules).unwrap().claims().clone()
}
