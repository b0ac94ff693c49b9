use coset::{CborSerializable, CoseEncrypt0};
use dauth_protocol::Owner;
use serde_bytes::ByteBuf;

use super::*;

const SECRET: &[u8] = b"sk-test-0123456789abcdef";

fn header() -> RecordHeader {
    RecordHeader {
        layout: 1,
        handle: "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f"
            .parse()
            .unwrap(),
        owner: Owner {
            issuer: "https://issuer.example".into(),
            subject: "sub".into(),
            thumbprint: "t".repeat(43),
        },
        tenant: "org".into(),
        policy: ByteBuf::from(*b"{}"),
        version: 1,
        created: 1,
        expires: 6000,
    }
}

fn key(id: u8, byte: u8) -> RecordKey {
    RecordKey::new([id; 8], Zeroizing::new([byte; 32])).unwrap()
}

fn sealed() -> Vec<u8> {
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    key(1, 7).seal(&header(), &secret, [5; 12]).unwrap()
}

fn open(bytes: &[u8], key: &RecordKey) -> Option<OpenedRecord> {
    SealedRecord::parse(bytes).ok()?.open(key).ok()
}

#[test]
fn what_is_sealed_opens() {
    let record = SealedRecord::parse(&sealed()).unwrap();
    assert_eq!(record.key_id(), &[1; 8]);
    let opened = record.open(&key(1, 7)).unwrap();
    assert_eq!(opened.header, header());
    assert_eq!(opened.secret.expose(), SECRET);
}

#[test]
fn no_single_bit_may_change() {
    let bytes = sealed();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&changed, &key(1, 7)).is_none(), "bit {bit}");
    }
}

#[test]
fn no_byte_may_be_missing_or_follow() {
    let bytes = sealed();
    for length in 0..bytes.len() {
        assert!(SealedRecord::parse(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        SealedRecord::parse(&longer).map(drop),
        Err(ParseError::Malformed)
    );
}

#[test]
fn only_its_key_opens_it() {
    assert!(open(&sealed(), &key(1, 7)).is_some());
    assert!(open(&sealed(), &key(1, 8)).is_none());
    assert!(open(&sealed(), &key(2, 7)).is_none());
}

fn rebuilt(change: impl FnOnce(&mut CoseEncrypt0)) -> Vec<u8> {
    let mut object = CoseEncrypt0::from_slice(&sealed()).unwrap();
    change(&mut object);
    object.protected.original_data = None;
    object.to_vec().unwrap()
}

#[test]
fn another_header_does_not_open() {
    use coset::cbor::Value;
    assert!(open(&rebuilt(|_| {}), &key(1, 7)).is_some());
    let mut other = header();
    other.expires += 1;
    let bytes = rebuilt(|o| o.protected.header.rest[0].1 = Value::Bytes(other.to_cbor()));
    let record = SealedRecord::parse(&bytes).unwrap();
    assert_eq!(record.open(&key(1, 7)).map(drop), Err(OpenError));
}

#[test]
fn every_other_form_is_refused() {
    type Change = fn(&mut CoseEncrypt0);
    let cases: [(Change, ParseError); 6] = [
        (
            |o| o.protected.header.alg = Some(Algorithm::Assigned(iana::Algorithm::A128GCM)),
            ParseError::Algorithm,
        ),
        (|o| o.protected.header.alg = None, ParseError::Algorithm),
        (|o| o.unprotected.iv = vec![5; 11], ParseError::Malformed),
        (|o| o.unprotected.iv.clear(), ParseError::Malformed),
        (|o| o.unprotected.key_id = vec![1; 8], ParseError::Malformed),
        (|o| o.ciphertext = None, ParseError::Malformed),
    ];
    for (case, (change, error)) in cases.into_iter().enumerate() {
        let refused = SealedRecord::parse(&rebuilt(change)).map(drop);
        assert_eq!(refused, Err(error), "case {case}");
    }
}

#[test]
fn the_tagged_form_is_refused() {
    let tagged = [&[0xd0][..], &sealed()].concat();
    assert!(SealedRecord::parse(&tagged).is_err());
}

#[test]
fn oversize_is_refused_before_it_is_parsed() {
    let refused = SealedRecord::parse(&vec![0x83; MAX_RECORD_BYTES + 1]).map(drop);
    assert_eq!(refused, Err(ParseError::TooLong(MAX_RECORD_BYTES)));
    let mut large = header();
    large.policy = ByteBuf::from(vec![0; MAX_RECORD_BYTES]);
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    let refused = key(1, 7).seal(&large, &secret, [5; 12]);
    assert_eq!(refused, Err(SealError::TooLong(MAX_RECORD_BYTES)));
}
