//! Whatever a peer sends: a refusal, never a panic.
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dauth_token::{
    AccessTokenRules, Jwk, Jwks, NonceIssuer, ProofRules, dpop_credentials, sole_proof,
    verify_access_token, verify_proof,
};
use proptest::{collection::vec, prelude::*};

fn judge(text: &str) {
    let rules = AccessTokenRules {
        issuer: "i",
        audience: "a",
        keys: &Jwks::default(),
        now_s: u64::MAX,
        leeway_s: u64::MAX,
    };
    assert!(verify_access_token(text, &rules).is_err());
    let rules = ProofRules {
        method: "GET",
        htu: "u",
        access_token: Some("t"),
        now_s: 0,
        max_age_s: u64::MAX,
        leeway_s: u64::MAX,
    };
    assert!(verify_proof(text, &rules).is_err());
    assert!(!NonceIssuer::new(&[0; 32], [0; 16], 0, 60).is_current(text, u64::MAX));
}

proptest! {
    #[test]
    fn text(text in ".{0,200}") {
        judge(&text);
    }

    #[test]
    fn three_parts(parts in vec(vec(any::<u8>(), 0..80), 3)) {
        let parts: Vec<_> = parts.iter().map(|p| BASE64_URL_SAFE_NO_PAD.encode(p)).collect();
        judge(&parts.join("."));
    }

    #[test]
    fn three_parts_of_json(
        typ in "at\\+jwt|dpop\\+jwt|JWT",
        alg in "ES256|EdDSA|none",
        x in "[A-Za-z0-9_-]{43}",
        iat in any::<i128>(),
        signature in vec(any::<u8>(), 64),
    ) {
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
        let header = format!(r#"{{"typ":"{typ}","alg":"{alg}","kid":"k","jwk":{jwk}}}"#);
        let claims = format!(r#"{{"iat":{iat},"exp":{iat},"htm":"GET","htu":"u","jti":"j"}}"#);
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let parts = [header.as_bytes(), claims.as_bytes(), &signature].map(encode);
        judge(&parts.join("."));
        let _ = Jwk::from_json(&serde_json::from_str(&jwk).unwrap());
    }

    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Jwks::parse(&bytes);
        let _ = dpop_credentials([bytes.as_slice()]);
        let _ = sole_proof([bytes.as_slice()]);
    }
}
