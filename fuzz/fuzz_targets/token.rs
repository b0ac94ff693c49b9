//! Tokens and proofs of callers. Nothing is signed here, so nothing may be accepted.
#![no_main]

use dauth_token::{AccessTokenRules, Jwks, ProofRules, verify_access_token, verify_proof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Jwks::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let keys = Jwks::new(Vec::new());
    let rules = AccessTokenRules {
        issuer: "https://issuer.example",
        audience: "https://enclave.example",
        keys: &keys,
        now_s: 1_700_000_000,
        leeway_s: 10,
    };
    assert!(verify_access_token(text, &rules).is_err());
    let rules = ProofRules {
        method: "GET",
        htu: "https://enclave.example/",
        access_token: None,
        now_s: 1_700_000_000,
        max_age_s: 60,
        leeway_s: 10,
    };
    let _ = verify_proof(text, &rules);
});
