//! A token is its holder's alone: RFC 9449 section 7.1.
use dauth_token::{
    ProofClaims, ProofRules, Signer as _, TokenError, VerifiedAccessToken, VerifiedProof,
    access_token_hash, make_proof, verify_proof,
};

use crate::{
    access_tokens::{Fixture, NOW_S},
    signing::{Key, sign_json, without},
};

#[test]
fn binds_to_the_proof_of_its_own_key_and_text_alone() {
    let fixture = Fixture::new(Key::p256());
    let token = fixture.token();
    let verified = || fixture.verify(&token).unwrap();
    let bound = verified().bind(&proof(&fixture.key, Some(&token))).unwrap();
    assert_eq!(bound.holder(), &fixture.key.jwk().thumbprint());

    let refusal = |token: VerifiedAccessToken, proof| token.bind(&proof).err();
    let other_key = proof(&Key::p256(), Some(&token));
    assert_eq!(refusal(verified(), other_key), Some(TokenError::OtherKey));
    let other_token = proof(&fixture.key, Some("another"));
    assert_eq!(
        refusal(verified(), other_token),
        Some(TokenError::OtherToken)
    );
    let no_token = proof(&fixture.key, None);
    assert_eq!(refusal(verified(), no_token), Some(TokenError::OtherToken));

    let claims = without(&fixture.claims, "cnf");
    let token = sign_json(&fixture.header, &claims, &fixture.key);
    let unbound = fixture.verify(&token).unwrap();
    let its_proof = proof(&fixture.key, Some(&token));
    assert_eq!(refusal(unbound, its_proof), Some(TokenError::Unbound));
}

fn proof(key: &Key, token: Option<&str>) -> VerifiedProof {
    let htu = "https://mcp.example/mcp";
    let hash = token.map(access_token_hash);
    let claims = ProofClaims {
        method: "POST",
        htu,
        iat: NOW_S,
        jti: "1",
        ath: hash.as_deref(),
        nonce: None,
    };
    let rules = ProofRules {
        method: "POST",
        htu,
        access_token: token,
        now_s: NOW_S,
        max_age_s: 60,
        leeway_s: 5,
    };
    verify_proof(&make_proof(&claims, key).unwrap(), &rules).unwrap()
}
