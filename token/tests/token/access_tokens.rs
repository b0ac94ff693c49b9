//! The negative list of JWT access tokens: RFC 9068 section 4, RFC 8725.
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dauth_token::{
    AccessTokenRules, Jwks, JwsError, MAX_ACCESS_TOKEN_BYTES, NamedJwk, Signer as _, TokenError,
    VerifiedAccessToken, verify_access_token,
};
use serde_json::{Value, json};

use crate::signing::{Key, sign_json, sign_text, signing_input, with, without};

pub(crate) const NOW_S: u64 = 1_900_000_000;
const ISSUER: &str = "https://as.example";
const AUDIENCE: &str = "https://mcp.example/mcp";

pub(crate) struct Fixture {
    pub(crate) key: Key,
    keys: Jwks,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Fixture {
    pub(crate) fn new(key: Key) -> Self {
        let keys = Jwks::new(vec![NamedJwk {
            kid: "k1".into(),
            key: key.jwk().clone(),
        }]);
        Self {
            header: json!({ "alg": key.algorithm().name(), "typ": "at+jwt", "kid": "k1" }),
            claims: json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": "s", "client_id": "c", "jti": "j",
                "iat": NOW_S, "exp": NOW_S + 300, "scope": "a b:c",
                "cnf": { "jkt": key.jwk().thumbprint().as_str() },
                "ddls:connections": { "n": "ddls:conn:1" }, "ddls:org": "o",
            }),
            key,
            keys,
        }
    }

    pub(crate) fn token(&self) -> String {
        sign_json(&self.header, &self.claims, &self.key)
    }

    pub(crate) fn verify(&self, token: &str) -> Result<VerifiedAccessToken, TokenError> {
        self.verify_at(token, NOW_S)
    }

    fn verify_at(&self, token: &str, now_s: u64) -> Result<VerifiedAccessToken, TokenError> {
        verify_access_token(
            token,
            &AccessTokenRules {
                issuer: ISSUER,
                audience: AUDIENCE,
                keys: &self.keys,
                now_s,
                leeway_s: 5,
            },
        )
    }

    fn refusal_of(&self, header: &Value, claims: &Value) -> Option<TokenError> {
        self.verify(&sign_json(header, claims, &self.key)).err()
    }
}

#[test]
fn accepts_both_algorithms_and_gives_the_claims() {
    for key in [Key::p256(), Key::ed25519()] {
        let fixture = Fixture::new(key);
        let token = fixture.verify(&fixture.token()).unwrap();
        assert_eq!(token.claims().connections["n"], "ddls:conn:1");
        assert_eq!(token.claims().org.as_deref(), Some("o"));
        assert!(token.has_scope("b:c") && !token.has_scope("b") && !token.has_scope(""));
        assert!(!token.claims().owner);
    }
}

#[test]
fn accepts_the_other_name_of_ed25519_and_one_audience_in_an_array() {
    let fixture = Fixture::new(Key::ed25519());
    let header = with(&fixture.header, "alg", json!("Ed25519"));
    assert_eq!(fixture.refusal_of(&header, &fixture.claims), None);
    let claims = with(&fixture.claims, "aud", json!([AUDIENCE]));
    assert_eq!(fixture.refusal_of(&fixture.header, &claims), None);
}

#[test]
fn refuses_headers() {
    let fixture = Fixture::new(Key::p256());
    let refused = |name| TokenError::Jws(JwsError::Parameter(name));
    let algorithm = TokenError::Jws(JwsError::Algorithm);
    let typ = TokenError::Jws(JwsError::Type);
    let own_key = fixture.key.jwk().to_json();
    let cases = [
        ("alg", json!("none"), algorithm),
        ("alg", json!("None"), algorithm),
        ("alg", json!("NONE"), algorithm),
        ("alg", json!(""), algorithm),
        ("alg", json!(null), algorithm),
        ("alg", json!(["ES256"]), algorithm),
        ("alg", json!("HS256"), algorithm),
        ("alg", json!("RS256"), algorithm),
        ("alg", json!("ES384"), algorithm),
        ("alg", json!("EdDSA"), TokenError::Jws(JwsError::Signature)),
        ("typ", json!("JWT"), typ),
        ("typ", json!("AT+JWT"), typ),
        ("typ", json!("application/at+jwt"), typ),
        ("typ", json!("dpop+jwt"), typ),
        ("typ", json!(null), typ),
        ("kid", json!(null), TokenError::NoKeyId),
        ("kid", json!(1), TokenError::NoKeyId),
        ("kid", json!("k2"), TokenError::UnknownKey),
        ("kid", json!("../../k1"), TokenError::UnknownKey),
        ("kid", json!("k1' OR '1'='1"), TokenError::UnknownKey),
        ("jku", json!("https://evil.example"), refused("jku")),
        ("x5u", json!("https://evil.example"), refused("x5u")),
        ("x5c", json!(["AA"]), refused("x5c")),
        ("x5t", json!("AA"), refused("x5t")),
        ("x5t#S256", json!("AA"), refused("x5t#S256")),
        ("jwk", own_key, refused("jwk")),
        ("crit", json!(["exp"]), refused("crit")),
        ("crit", json!([]), refused("crit")),
        ("b64", json!(false), refused("b64")),
        ("b64", json!(true), refused("b64")),
    ];
    for (name, value, error) in cases {
        let header = with(&fixture.header, name, value);
        let refusal = fixture.refusal_of(&header, &fixture.claims);
        assert_eq!(refusal, Some(error), "{header}");
    }
    for name in ["alg", "typ", "kid"] {
        let header = without(&fixture.header, name);
        assert!(fixture.refusal_of(&header, &fixture.claims).is_some());
    }
}

#[test]
fn refuses_claims() {
    use TokenError::*;
    let fixture = Fixture::new(Key::p256());
    let cases = [
        ("iss", json!("https://as.example/"), Issuer),
        ("iss", json!("https://AS.example"), Issuer),
        ("iss", json!("https://as.example:443"), Issuer),
        ("iss", json!(""), Claims),
        ("iss", json!([ISSUER]), Claims),
        ("aud", json!("https://mcp.example/mcp/"), Audience),
        ("aud", json!("https://mcp.example/mc"), Audience),
        ("aud", json!("https://mcp.example/mcp/x"), Audience),
        ("aud", json!("https://mcp.example/other"), Audience),
        ("aud", json!("https://mcp.example"), Audience),
        ("aud", json!("https://MCP.example/mcp"), Audience),
        ("aud", json!([AUDIENCE, "https://other.example"]), Claims),
        ("aud", json!([]), Claims),
        ("aud", json!({ "aud": AUDIENCE }), Claims),
        ("aud", json!(null), Claims),
        ("exp", json!(NOW_S - 5), Expired),
        ("exp", json!(0), Expired),
        ("exp", json!(-1), Claims),
        ("exp", json!(NOW_S as f64 + 300.5), Claims),
        ("exp", json!((NOW_S + 300).to_string()), Claims),
        ("exp", json!(1e30), Claims),
        ("exp", json!(null), Claims),
        ("iat", json!(NOW_S + 6), NotYetValid),
        ("iat", json!(NOW_S as f64 + 0.5), Claims),
        ("iat", json!(-1), Claims),
        ("iat", json!(null), Claims),
        ("nbf", json!(NOW_S + 6), NotYetValid),
        ("nbf", json!("now"), Claims),
        ("sub", json!(""), Claims),
        ("sub", json!(1), Claims),
        ("client_id", json!(""), Claims),
        ("jti", json!(""), Claims),
        ("jti", json!("j".repeat(257)), Claims),
        ("scope", json!(["a"]), Claims),
        ("cnf", json!("jkt"), Claims),
        ("cnf", json!({}), Claims),
        ("ddls:owner", json!("true"), Claims),
        ("ddls:connections", json!(["ddls:conn:1"]), Claims),
    ];
    for (name, value, error) in cases {
        let claims = with(&fixture.claims, name, value);
        let refusal = fixture.refusal_of(&fixture.header, &claims);
        assert_eq!(refusal, Some(error), "{name}: {}", claims[name]);
    }
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
        let claims = without(&fixture.claims, name);
        let refusal = fixture.refusal_of(&fixture.header, &claims);
        assert_eq!(refusal, Some(Claims), "without {name}");
    }
}

#[test]
fn time_is_an_argument_with_bounds_that_are_exact() {
    let fixture = Fixture::new(Key::p256());
    let token = fixture.token();
    assert!(fixture.verify_at(&token, NOW_S + 304).is_ok());
    let at_end = fixture.verify_at(&token, NOW_S + 305);
    assert_eq!(at_end.err(), Some(TokenError::Expired));
    assert!(fixture.verify_at(&token, NOW_S - 5).is_ok());
    let before = fixture.verify_at(&token, NOW_S - 6);
    assert_eq!(before.err(), Some(TokenError::NotYetValid));
}

#[test]
fn refuses_forms() {
    let fixture = Fixture::new(Key::p256());
    let (header, claims) = (fixture.header.to_string(), fixture.claims.to_string());
    let token = fixture.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (part1, part2) = input.split_once('.').unwrap();
    let malformed = TokenError::Jws(JwsError::Malformed);
    let json = TokenError::Jws(JwsError::Json);
    let bad_signature = TokenError::Jws(JwsError::Signature);
    let twice = claims.replacen('{', "{\"aud\":\"https://evil.example\",", 1);
    let alg_twice = header.replacen('{', "{\"alg\":\"none\",", 1);
    let cases = [
        (String::new(), malformed),
        (".".into(), malformed),
        ("..".into(), json),
        (input.into(), malformed),
        (format!("{input}."), bad_signature),
        (format!("{token}."), malformed),
        (format!("{token}.{part2}"), malformed),
        (format!("{token}="), malformed),
        (format!("{token} "), malformed),
        (format!(" {token}"), malformed),
        (format!("{part1}=.{part2}.{signature}"), malformed),
        (format!("{part1}.{part2}\n.{signature}"), malformed),
        (format!("{part1}+/.{part2}.{signature}"), malformed),
        (sign_text(&header, &twice, &fixture.key), json),
        (sign_text(&alg_twice, &claims, &fixture.key), json),
        (sign_text(&header, "[]", &fixture.key), json),
        (sign_text(&header, "", &fixture.key), json),
        (sign_text("[]", &claims, &fixture.key), json),
        (sign_text(&header, &claims, &Key::p256()), bad_signature),
        (
            "A".repeat(MAX_ACCESS_TOKEN_BYTES + 1),
            TokenError::Jws(JwsError::TooLong(MAX_ACCESS_TOKEN_BYTES)),
        ),
    ];
    for (token, error) in cases {
        assert_eq!(fixture.verify(&token).err(), Some(error), "{token}");
    }
}

#[test]
fn refuses_signatures_in_other_clothes() {
    let fixture = Fixture::new(Key::p256());
    let input = signing_input(&fixture.header.to_string(), &fixture.claims.to_string());
    let raw = fixture.key.sign(input.as_bytes()).unwrap();
    let (r, s) = raw.split_at(32);
    let order = hex_bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let cases = [
        fixture.key.sign_der(input.as_bytes()),
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
        vec![0; 64],
        [r, &order].concat(),
        [&order, s].concat(),
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [s, r].concat(),
    ];
    for signature in cases {
        let token = format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(&signature));
        let refusal = fixture.verify(&token).err();
        assert_eq!(refusal, Some(TokenError::Jws(JwsError::Signature)));
    }
}

#[test]
fn refuses_a_mac_under_the_public_key() {
    let fixture = Fixture::new(Key::p256());
    let public = fixture.key.jwk().to_json().to_string();
    let header = with(&fixture.header, "alg", json!("HS256")).to_string();
    let input = signing_input(&header, &fixture.claims.to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
    let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes()));
    let refusal = fixture.verify(&format!("{input}.{tag}")).err();
    assert_eq!(refusal, Some(TokenError::Jws(JwsError::Algorithm)));
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}
