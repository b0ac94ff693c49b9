//! The algorithm in Rust alone says what aws-lc-rs says.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use dauth_attestation::{Appraisal, SignatureAlgorithms, TrustAnchors, appraise, appraise_with};

use crate::{
    forge::{Forge, NOW_MS, anything},
    real::{self, VECTORS},
};

#[test]
fn forged_documents_have_the_same_verdict() {
    let forge = Forge::new();
    let stranger = Forge::new();
    for anchors in [&forge.anchors, &stranger.anchors] {
        let appraisal = Appraisal {
            anchors,
            policy: &anything(),
            now_ms: NOW_MS,
        };
        let document = forge.document();
        let verdict = appraise_with(SignatureAlgorithms::rust_crypto(), &document, &appraisal);
        assert_eq!(verdict, appraise(&document, &appraisal));
    }
}

#[test]
fn real_documents_and_flipped_ones_have_the_same_verdict() {
    let anchors = TrustAnchors::aws_nitro();
    for vector in &VECTORS {
        let Some(mut document) = vector.read() else {
            return;
        };
        let policy = real::anything();
        let appraisal = Appraisal {
            anchors: &anchors,
            policy: &policy,
            now_ms: vector.timestamp_ms,
        };
        let judge = |document: &[u8]| {
            let verdict = appraise_with(SignatureAlgorithms::rust_crypto(), document, &appraisal);
            assert_eq!(verdict, appraise(document, &appraisal));
            verdict.is_ok()
        };
        assert!(judge(&document), "{}", vector.name);
        // The signature from its end, and one bit in 1009 of the rest.
        let bits = document.len() * 8;
        let signature = bits - 96 * 8..bits;
        for bit in signature.step_by(13).chain((0..bits).step_by(1009)) {
            document[bit / 8] ^= 1 << (bit % 8);
            assert!(!judge(&document), "{}: bit {bit}", vector.name);
            document[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn odd_keys_and_signatures_are_refused_alike() {
    use rustls_pki_types::SignatureVerificationAlgorithm;
    let ours = SignatureAlgorithms::rust_crypto().p384_sha384();
    let theirs: &dyn SignatureVerificationAlgorithm = webpki::aws_lc_rs::ECDSA_P384_SHA384;
    let random = SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random).expect("key");
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8.as_ref()).expect("key");
    let key = pair.public_key().as_ref();
    let signature = pair.sign(&random, b"message").expect("signature");
    let signature = signature.as_ref();
    let both = |key: &[u8], message: &[u8], signature: &[u8]| {
        let ours = ours.verify_signature(key, message, signature).is_ok();
        assert_eq!(
            ours,
            theirs.verify_signature(key, message, signature).is_ok()
        );
        ours
    };
    assert!(both(key, b"message", signature));
    assert!(!both(key, b"massage", signature));
    assert!(!both(&[], b"message", signature));
    assert!(!both(&[0], b"message", signature));
    assert!(!both(&key[..96], b"message", signature));
    assert!(!both(
        &[&[0x04; 1][..], &[1; 96]].concat(),
        b"message",
        signature
    ));
    assert!(!both(key, b"message", &[]));
    // r = s = 0, and a longer form of a length.
    assert!(!both(key, b"message", &[0x30, 6, 2, 1, 0, 2, 1, 0]));
    let long = [&[0x30, 0x81, signature[1]], &signature[2..]].concat();
    assert!(!both(key, b"message", &long));
    let trailing = [signature, &[0]].concat();
    assert!(!both(key, b"message", &trailing));
}
