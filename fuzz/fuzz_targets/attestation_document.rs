//! Evidence of strangers. Nothing but a document that AWS signed may be accepted.
#![no_main]

use dauth_attestation::{AgeRule, DebugMode, Images, NonceRule, Policy, TrustAnchors, Verifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| {
    let policy = Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        debug_mode: DebugMode::Allow,
        ..Policy::new(Images::Unconstrained)
    };
    let verifier = Verifier::new(TrustAnchors::aws_nitro());
    for now_ms in [0, 1_665_651_482_136, 1_730_792_863_352, u64::MAX] {
        if let Ok(result) = verifier.appraise(document, &policy, now_ms) {
            assert!(!result.module_id().is_empty());
        }
    }
});
