//! The negative list of DPoP proofs: RFC 9449 sections 4.3 and 11.
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dauth_token::{
    JwkError, JwsError, MAX_PROOF_BYTES, ProofError, ProofRules, Signer as _, VerifiedProof,
    access_token_hash, verify_proof,
};
use serde_json::{Value, json};

use crate::signing::{Key, sign_json, sign_text, signing_input, with, without};

const NOW_S: u64 = 1_900_000_000;
const HTU: &str = "https://enclave.example/v1/connections/ddls:conn:1/me";
const TOKEN: &str = "header.payload.signature";

struct Fixture {
    key: Key,
    header: Value,
    claims: Value,
}

impl Fixture {
    fn new(key: Key) -> Self {
        Self {
            header: json!({
                "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": key.jwk().to_json(),
            }),
            claims: json!({
                "jti": "unique", "htm": "GET", "htu": HTU, "iat": NOW_S,
                "ath": access_token_hash(TOKEN), "nonce": "n",
            }),
            key,
        }
    }

    fn proof(&self) -> String {
        sign_json(&self.header, &self.claims, &self.key)
    }

    fn refusal_of(&self, header: &Value, claims: &Value) -> Option<ProofError> {
        verify(&sign_json(header, claims, &self.key)).err()
    }
}

fn verify(proof: &str) -> Result<VerifiedProof, ProofError> {
    verify_at(proof, NOW_S)
}

fn verify_at(proof: &str, now_s: u64) -> Result<VerifiedProof, ProofError> {
    let rules = ProofRules {
        method: "GET",
        htu: HTU,
        access_token: Some(TOKEN),
        now_s,
        max_age_s: 60,
        leeway_s: 5,
    };
    verify_proof(proof, &rules)
}

#[test]
fn accepts_both_algorithms_and_gives_what_the_caches_need() {
    for key in [Key::p256(), Key::ed25519()] {
        let fixture = Fixture::new(key);
        let proof = verify(&fixture.proof()).unwrap();
        assert_eq!(proof.thumbprint(), &fixture.key.jwk().thumbprint());
        assert_eq!((proof.jti(), proof.iat()), ("unique", NOW_S));
        assert_eq!(proof.nonce(), Some("n"));
        assert_eq!(proof.expires_s(), NOW_S + 65);
    }
}

#[test]
fn the_replay_key_is_of_key_and_jti() {
    let (one, two) = (Fixture::new(Key::p256()), Fixture::new(Key::p256()));
    let key_of = |proof: &str| verify(proof).unwrap().replay_key();
    // Another signature by the same key over the same jti is the same proof to the cache.
    assert_eq!(key_of(&one.proof()), key_of(&one.proof()));
    assert_ne!(key_of(&one.proof()), key_of(&two.proof()));
    let claims = with(&one.claims, "jti", json!("other"));
    let other = sign_json(&one.header, &claims, &one.key);
    assert_ne!(key_of(&one.proof()), key_of(&other));
}

#[test]
fn refuses_headers() {
    let fixture = Fixture::new(Key::p256());
    let refused = |name| ProofError::Jws(JwsError::Parameter(name));
    let algorithm = ProofError::Jws(JwsError::Algorithm);
    let typ = ProofError::Jws(JwsError::Type);
    let bad_signature = ProofError::Jws(JwsError::Signature);
    let unsupported = ProofError::Key(JwkError::Unsupported);
    let cases = [
        ("typ", json!("JWT"), typ),
        ("typ", json!("at+jwt"), typ),
        ("typ", json!("DPoP+JWT"), typ),
        ("typ", json!(null), typ),
        ("alg", json!("none"), algorithm),
        ("alg", json!("HS256"), algorithm),
        ("alg", json!("HS512"), algorithm),
        ("alg", json!("RS256"), algorithm),
        ("alg", json!("ES512"), algorithm),
        ("alg", json!("EdDSA"), bad_signature),
        ("jwk", Key::p256().jwk().to_json(), bad_signature),
        ("jwk", Key::ed25519().jwk().to_json(), bad_signature),
        ("jwk", json!("key"), unsupported),
        ("jwk", json!(null), unsupported),
        ("jwk", json!({ "kty": "oct" }), unsupported),
        (
            "jwk",
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
            unsupported,
        ),
        ("kid", json!("k"), refused("kid")),
        ("jku", json!("https://evil.example"), refused("jku")),
        ("x5u", json!("https://evil.example"), refused("x5u")),
        ("x5c", json!([]), refused("x5c")),
        ("x5t", json!("AA"), refused("x5t")),
        ("crit", json!(["b64"]), refused("crit")),
        ("b64", json!(false), refused("b64")),
    ];
    for (name, value, error) in cases {
        let header = with(&fixture.header, name, value);
        let refusal = fixture.refusal_of(&header, &fixture.claims);
        assert_eq!(refusal, Some(error), "{header}");
    }
    let header = without(&fixture.header, "jwk");
    let refusal = fixture.refusal_of(&header, &fixture.claims);
    assert_eq!(refusal, Some(ProofError::NoKey));
}

#[test]
fn refuses_keys() {
    let fixture = Fixture::new(Key::p256());
    let key = fixture.key.jwk().to_json();
    let mut cases = vec![(with(&key, "y", key["x"].clone()), JwkError::OffCurve)];
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        cases.push((with(&key, name, json!("AA")), JwkError::Private));
    }
    for (key, error) in cases {
        let header = with(&fixture.header, "jwk", key);
        let refusal = fixture.refusal_of(&header, &fixture.claims);
        assert_eq!(refusal, Some(ProofError::Key(error)), "{header}");
    }
}

#[test]
fn refuses_claims() {
    use ProofError::{AccessToken, Claim, InTheFuture, Method, TooOld, Uri};
    let fixture = Fixture::new(Key::p256());
    let uri = |from: &str, to: &str| json!(HTU.replace(from, to));
    let cases = [
        ("htm", json!("get"), Method),
        ("htm", json!("Get"), Method),
        ("htm", json!("POST"), Method),
        ("htm", json!(""), Claim("htm")),
        ("htm", json!(1), Claim("htm")),
        ("htm", json!("G".repeat(1000)), Claim("htm")),
        ("htu", uri("enclave.example", "enclave.example:443"), Uri),
        ("htu", uri("enclave.example", "enclave.example:8443"), Uri),
        ("htu", uri("enclave.example", "ENCLAVE.example"), Uri),
        ("htu", uri("enclave.example", "user@enclave.example"), Uri),
        ("htu", uri("enclave.example", "other.example"), Uri),
        ("htu", uri("https", "http"), Uri),
        ("htu", uri("https", "HTTPS"), Uri),
        ("htu", uri("/me", "/me/"), Uri),
        ("htu", uri("/me", "/ME"), Uri),
        ("htu", uri("/me", "/%6de"), Uri),
        ("htu", uri("/me", "/%6De"), Uri),
        ("htu", uri("/me", "/./me"), Uri),
        ("htu", uri("/me", "/x/../me"), Uri),
        ("htu", uri("/me", "//me"), Uri),
        ("htu", uri("/me", "/me?a=b"), Uri),
        ("htu", uri("/me", "/me?"), Uri),
        ("htu", uri("/me", "/me#"), Uri),
        ("htu", uri("conn:1", "conn%3A1"), Uri),
        ("htu", json!("/v1/connections/ddls:conn:1/me"), Uri),
        ("htu", json!(""), Claim("htu")),
        ("htu", json!([HTU]), Claim("htu")),
        ("jti", json!(""), Claim("jti")),
        ("jti", json!(7), Claim("jti")),
        ("jti", json!("j".repeat(257)), Claim("jti")),
        ("iat", json!(NOW_S - 66), TooOld),
        ("iat", json!(0), TooOld),
        ("iat", json!(NOW_S + 6), InTheFuture),
        ("iat", json!(u64::MAX), InTheFuture),
        ("iat", json!(-1), Claim("iat")),
        ("iat", json!(NOW_S as f64), Claim("iat")),
        ("iat", json!(NOW_S as f64 + 0.5), Claim("iat")),
        ("iat", json!(NOW_S.to_string()), Claim("iat")),
        ("iat", json!(null), Claim("iat")),
        ("ath", json!(access_token_hash("other")), AccessToken),
        (
            "ath",
            json!(format!("{}=", access_token_hash(TOKEN))),
            AccessToken,
        ),
        ("ath", json!(""), AccessToken),
        ("ath", json!(null), AccessToken),
        ("nonce", json!(""), Claim("nonce")),
        ("nonce", json!(1), Claim("nonce")),
        ("nonce", json!(null), Claim("nonce")),
        ("nonce", json!("n".repeat(257)), Claim("nonce")),
    ];
    for (name, value, error) in cases {
        let claims = with(&fixture.claims, name, value);
        let refusal = fixture.refusal_of(&fixture.header, &claims);
        assert_eq!(refusal, Some(error), "{name}: {}", claims[name]);
    }
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let claims = without(&fixture.claims, name);
        assert!(
            fixture.refusal_of(&fixture.header, &claims).is_some(),
            "{name}"
        );
    }
    let claims = without(&fixture.claims, "nonce");
    assert_eq!(fixture.refusal_of(&fixture.header, &claims), None);
}

#[test]
fn the_window_is_exact() {
    let proof = Fixture::new(Key::p256()).proof();
    assert!(verify_at(&proof, NOW_S + 65).is_ok());
    assert_eq!(
        verify_at(&proof, NOW_S + 66).err(),
        Some(ProofError::TooOld)
    );
    assert!(verify_at(&proof, NOW_S - 5).is_ok());
    let early = verify_at(&proof, NOW_S - 6).err();
    assert_eq!(early, Some(ProofError::InTheFuture));
}

#[test]
fn refuses_forms_and_signatures() {
    let fixture = Fixture::new(Key::p256());
    let (header, claims) = (fixture.header.to_string(), fixture.claims.to_string());
    let input = signing_input(&header, &claims);
    let der = BASE64_URL_SAFE_NO_PAD.encode(fixture.key.sign_der(input.as_bytes()));
    let zero = BASE64_URL_SAFE_NO_PAD.encode([0; 64]);
    let twice = claims.replacen('{', "{\"jti\":\"other\",", 1);
    let cases = [
        (format!("{input}.{der}"), JwsError::Signature),
        (format!("{input}.{zero}"), JwsError::Signature),
        (format!("{input}."), JwsError::Signature),
        (input, JwsError::Malformed),
        (sign_text(&header, &twice, &fixture.key), JwsError::Json),
        (
            "a".repeat(MAX_PROOF_BYTES + 1),
            JwsError::TooLong(MAX_PROOF_BYTES),
        ),
    ];
    for (proof, error) in cases {
        assert_eq!(verify(&proof).err(), Some(ProofError::Jws(error)));
    }
}
