//! `jsonwebtoken` as an independent reader and writer of the same format.
use dauth_token::{
    AccessClaims, AccessTokenRules, Confirmation, Jwks, NamedJwk, ProofClaims, Signer as _,
    make_proof, mint_access_token, verify_access_token,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use serde_json::Value;

use crate::signing::Key;

const NOW_S: u64 = 1_900_000_000;

fn claims(key: &Key) -> AccessClaims {
    AccessClaims {
        iss: "https://as.example".into(),
        sub: "subject".into(),
        aud: "https://enclave.example".into(),
        exp: NOW_S + 120,
        iat: NOW_S,
        nbf: None,
        jti: "j".into(),
        client_id: "client".into(),
        scope: Some("a b".into()),
        cnf: Some(Confirmation {
            jkt: key.jwk().thumbprint().as_str().into(),
        }),
        act: None,
        connections: [("n".to_owned(), "ddls:conn:1".to_owned())].into(),
        fingerprints: [("ddls:conn:1".to_owned(), "00".repeat(32))].into(),
        org: Some("org".into()),
        owner: true,
    }
}

fn both() -> [(Key, Algorithm); 2] {
    [
        (Key::p256(), Algorithm::ES256),
        (Key::ed25519(), Algorithm::EdDSA),
    ]
}

fn decoding_key(key: &Key) -> DecodingKey {
    DecodingKey::from_jwk(&serde_json::from_value(key.jwk().to_json()).unwrap()).unwrap()
}

#[test]
fn it_accepts_what_we_mint() {
    for (key, algorithm) in both() {
        let token = mint_access_token(&claims(&key), "k1", &key).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["https://enclave.example"]);
        validation.set_issuer(&["https://as.example"]);
        validation.validate_exp = false;
        let read = decode::<Value>(&token, &decoding_key(&key), &validation).unwrap();
        assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(read.header.kid.as_deref(), Some("k1"));
        assert_eq!(read.claims["ddls:owner"], true);
        assert_eq!(read.claims, serde_json::to_value(claims(&key)).unwrap());
    }
}

#[test]
fn we_accept_what_it_mints() {
    for (key, algorithm) in both() {
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".into());
        header.kid = Some("k1".into());
        let private = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_der(&key.pkcs8),
            _ => EncodingKey::from_ed_der(&key.pkcs8),
        };
        let token = encode(&header, &claims(&key), &private).unwrap();
        let keys = Jwks::new(vec![NamedJwk {
            kid: "k1".into(),
            key: key.jwk().clone(),
        }]);
        let rules = AccessTokenRules {
            issuer: "https://as.example",
            audience: "https://enclave.example",
            keys: &keys,
            now_s: NOW_S,
            leeway_s: 0,
        };
        let read = verify_access_token(&token, &rules).unwrap();
        assert_eq!(read.claims(), &claims(&key));
    }
}

#[test]
fn it_accepts_our_proofs_by_the_key_in_them() {
    for (key, algorithm) in both() {
        let proof = ProofClaims {
            method: "GET",
            htu: "https://enclave.example/x",
            iat: NOW_S,
            jti: "1",
            ath: Some("h"),
            nonce: Some("n"),
        };
        let proof = make_proof(&proof, &key).unwrap();
        let header = decode_header(&proof).unwrap();
        assert_eq!(header.typ.as_deref(), Some("dpop+jwt"));
        let own_key = DecodingKey::from_jwk(header.jwk.as_ref().unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let read = decode::<Value>(&proof, &own_key, &validation).unwrap();
        assert_eq!(read.claims["htm"], "GET");
        assert_eq!(read.claims["nonce"], "n");
    }
}
