//! An issuer, an owner, an MCP server, and an authorizer that knows the issuer's key.
use std::collections::BTreeMap;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use dauth_protocol::deployment::{IssuerKeys as Address, Kms};
use dauth_token::{
    AccessClaims, Actor, Confirmation, Jwk, Jwks, NamedJwk, ProofClaims, SignError, Signer,
    access_token_hash, make_proof, mint_access_token,
};
use http::{HeaderMap, Method};

use super::super::*;

pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://enclave.example";
pub(crate) const MCP: &str = "https://mcp.example/mcp";
pub(crate) const TENANT: &str = "org-1";
pub(crate) const SUBJECT: &str = "sub-1";
pub(crate) const HANDLE: &str = "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f";
pub(crate) const PATH: &str = "/v1/connections/ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f/me";

pub(crate) struct Key {
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

impl Key {
    pub(crate) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let jwk = Jwk::from_p256_uncompressed(pair.public_key().as_ref()).unwrap();
        Self { pair, jwk }
    }

    pub(crate) fn thumbprint(&self) -> String {
        self.jwk.thumbprint().as_str().to_owned()
    }
}

impl Signer for Key {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| SignError)?.as_ref().to_vec())
    }
}

pub(crate) struct Parties {
    pub(crate) issuer: Key,
    pub(crate) owner: Key,
    pub(crate) server: Key,
    pub(crate) authorizer: Authorizer,
}

pub(crate) fn configuration() -> DeploymentConfiguration {
    DeploymentConfiguration {
        version: 1,
        deployment: "test".into(),
        audience: AUDIENCE.into(),
        issuer: ISSUER.into(),
        issuer_keys: Address {
            url: "https://issuer.example/jwks".into(),
            spki_sha256: "00".repeat(32),
        },
        kms: Kms {
            key_arn: "arn:aws:kms:eu-west-1:1:key/k".into(),
            region: "eu-west-1".into(),
            endpoint: None,
            key_policy: Default::default(),
        },
        former_kms: Vec::new(),
        rotation: None,
        predecessors: Vec::new(),
    }
}

impl Parties {
    pub(crate) fn new() -> Self {
        let issuer = Key::generate();
        let keys = Jwks::new(vec![NamedJwk {
            kid: "k1".into(),
            key: issuer.jwk.clone(),
        }]);
        let keys = IssuerKeys::for_tests(keys);
        Self {
            issuer,
            owner: Key::generate(),
            server: Key::generate(),
            authorizer: Authorizer::new(&configuration(), keys, NOW_S).unwrap(),
        }
    }

    /// What the issuer says in an owner's token.
    pub(crate) fn owner_claims(&self) -> AccessClaims {
        AccessClaims {
            iss: ISSUER.into(),
            sub: SUBJECT.into(),
            aud: AUDIENCE.into(),
            exp: NOW_S + 100,
            iat: NOW_S,
            nbf: None,
            jti: "token-1".into(),
            client_id: "sdk".into(),
            scope: None,
            cnf: Some(Confirmation {
                jkt: self.owner.thumbprint(),
            }),
            act: None,
            connections: BTreeMap::new(),
            fingerprints: BTreeMap::from([(HANDLE.into(), "00".repeat(32))]),
            org: Some(TENANT.into()),
            owner: true,
        }
    }

    /// What the issuer says in a dispatch token.
    pub(crate) fn server_claims(&self) -> AccessClaims {
        AccessClaims {
            client_id: "mcp".into(),
            scope: Some("notes:read".into()),
            cnf: Some(Confirmation {
                jkt: self.server.thumbprint(),
            }),
            act: Some(Actor {
                sub: MCP.into(),
                client_id: Some("mcp".into()),
            }),
            owner: false,
            ..self.owner_claims()
        }
    }

    pub(crate) fn token(&self, claims: &AccessClaims) -> String {
        mint_access_token(claims, "k1", &self.issuer).unwrap()
    }

    /// What a correct proof says.
    pub(crate) fn proof(&self, token: &str) -> Proof {
        Proof {
            method: "GET".into(),
            htu: format!("{AUDIENCE}{PATH}"),
            iat: NOW_S,
            jti: format!("{:x?}", Sha256::digest(token)),
            ath: Some(access_token_hash(token)),
            nonce: Some(self.authorizer.nonce(NOW_S)),
        }
    }

    /// An authenticated caller with these claims.
    pub(crate) async fn authenticated(&self, claims: &AccessClaims) -> Authenticated {
        let token = self.token(claims);
        let key = if claims.owner {
            &self.owner
        } else {
            &self.server
        };
        let headers = headers(&token, &self.proof(&token).signed(key));
        self.authenticate(&headers).await.unwrap()
    }

    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Authenticated, Refusal> {
        let head = RequestHead {
            method: &Method::GET,
            path: PATH,
            headers,
        };
        self.authorizer.authenticate(&head, NOW_S).await
    }
}

pub(crate) struct Proof {
    pub(crate) method: String,
    pub(crate) htu: String,
    pub(crate) iat: u64,
    pub(crate) jti: String,
    pub(crate) ath: Option<String>,
    pub(crate) nonce: Option<String>,
}

impl Proof {
    pub(crate) fn signed(&self, key: &Key) -> String {
        let claims = ProofClaims {
            method: &self.method,
            htu: &self.htu,
            iat: self.iat,
            jti: &self.jti,
            ath: self.ath.as_deref(),
            nonce: self.nonce.as_deref(),
        };
        make_proof(&claims, key).unwrap()
    }
}

pub(crate) fn headers(token: &str, proof: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("DPoP {token}").parse().unwrap());
    headers.insert("dpop", proof.parse().unwrap());
    headers
}
