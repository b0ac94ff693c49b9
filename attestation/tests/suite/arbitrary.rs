//! Noise: whatever comes in, an error comes out.
use dauth_attestation::{AgeRule, Appraisal, Images, NonceRule, Policy, TrustAnchors, appraise};
use proptest::prelude::*;

fn refuse(document: &[u8], now_ms: u64) {
    let anchors = TrustAnchors::aws_nitro();
    let policy = Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        ..Policy::new(Images::Unconstrained)
    };
    let appraisal = Appraisal {
        anchors: &anchors,
        policy: &policy,
        now_ms,
    };
    assert!(appraise(document, &appraisal).is_err());
}

/// CBOR-like noise: heads of plausible types and lengths, field names, certificates' beginnings.
fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\x69module_id\x61i".to_vec()),
        Just(b"\x66digest\x66SHA384".to_vec()),
        Just(b"\x69timestamp\x1b\x00\x00\x01\x93\x00\x00\x00\x00".to_vec()),
        Just(b"\x64pcrs\xbf\x00\x58\x30".to_vec()),
        Just(b"\x6bcertificate\x59\x02\x00\x30\x82\x01\xfc\x30\x82".to_vec()),
        Just(b"\x68cabundle\x9f\x59\x02\x00\x30\x82".to_vec()),
        Just(b"\x65nonce\xf6".to_vec()),
        (0_u8..8, 0_u8..32, any::<u64>()).prop_map(|(major, info, argument)| {
            let mut head = vec![major << 5 | info];
            head.extend_from_slice(&argument.to_be_bytes());
            head
        }),
    ]
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), now_ms: u64) {
        refuse(&bytes, now_ms);
    }

    #[test]
    fn payloads_never_panic(
        tokens in proptest::collection::vec(token(), 0..40),
        indefinite: bool,
        now_ms: u64,
    ) {
        let mut payload = vec![if indefinite { 0xbf } else { 0xa9 }];
        payload.extend(tokens.concat());
        payload.push(0xff);
        let length = u16::try_from(payload.len()).expect("short");
        let mut document = b"\x84\x44\xa1\x01\x38\x22\xa0\x59".to_vec();
        document.extend_from_slice(&length.to_be_bytes());
        document.extend_from_slice(&payload);
        document.extend_from_slice(b"\x58\x60");
        document.resize(document.len() + 96, 1);
        refuse(&document, now_ms);
    }
}

#[test]
fn what_is_too_long_is_not_read() {
    refuse(&vec![0; 1 << 20], 0);
}
