//! Noise: whatever comes in, an error comes out.
use std::sync::LazyLock;

use dauth_attestation::{AgeRule, Appraisal, Images, NonceRule, Policy, TrustAnchors, appraise};
use proptest::{prelude::*, sample::Index};

use crate::forge::{Forge, NOW_MS, anything};

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

/// A document to which there is no objection, and its judge.
static GENUINE: LazyLock<(Forge, Vec<u8>)> = LazyLock::new(|| {
    let forge = Forge::new();
    let document = forge.document();
    (forge, document)
});

/// One way to tamper with a document.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of the document, copied to another place.
    Copy(Index, Index, usize),
    Truncate(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), token()).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1_usize..600).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<Index>(), any::<Index>(), 1_usize..600)
            .prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
        any::<Index>().prop_map(Edit::Truncate),
    ]
}

fn apply(edit: &Edit, document: &mut Vec<u8>) {
    if document.is_empty() {
        return;
    }
    let length = document.len();
    let end = |at: usize, count: usize| length.min(at + count);
    match edit {
        Edit::Set(at, byte) => document[at.index(length)] = *byte,
        Edit::Insert(at, bytes) => {
            let at = at.index(length);
            document.splice(at..at, bytes.iter().copied());
        }
        Edit::Remove(at, count) => {
            let at = at.index(length);
            document.drain(at..end(at, *count));
        }
        Edit::Copy(from, to, count) => {
            let from = from.index(length);
            let part = document[from..end(from, *count)].to_vec();
            let to = to.index(length);
            document.splice(to..to, part);
        }
        Edit::Truncate(at) => document.truncate(at.index(length)),
    }
}

proptest! {
    #[test]
    fn tampered_documents_are_refused(edits in proptest::collection::vec(edit(), 1..4)) {
        let (forge, genuine) = &*GENUINE;
        let mut document = genuine.clone();
        edits.iter().for_each(|edit| apply(edit, &mut document));
        // Tag 18 may stand in front of what is signed, and nothing else.
        let untagged = document.strip_prefix(&[0xd2]).unwrap_or(&document);
        let appraisal = Appraisal {
            anchors: &forge.anchors,
            policy: &anything(),
            now_ms: NOW_MS,
        };
        let accepted = appraise(&document, &appraisal).is_ok();
        prop_assert_eq!(accepted, untagged == genuine);
    }

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
