use dauth_protocol::Owner;
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use serde_bytes::ByteBuf;

use super::*;
use crate::{attested::tests::AUDIENCE, attested::tests::attested, randomness::tests::*};

const KEMS: [Kem; 2] = [Kem::MlKem768X25519, Kem::X25519];
const SECRET: &[u8] = b"sk-test-0123456789abcdef";

fn header() -> EnvelopeHeader {
    EnvelopeHeader {
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
        audience: AUDIENCE.into(),
        policy: ByteBuf::from(*b"{}"),
        version: 1,
        expires: 600,
        record_expires: 6000,
    }
}

fn key(kem: Kem) -> RecipientKey {
    RecipientKey::generate(kem, [1, 2, 3, 4, 5, 6, 7, 8], &mut rng(1)).unwrap()
}

fn secret() -> Secret {
    Secret::new(SECRET.to_vec()).unwrap()
}

fn sealed(key: &RecipientKey) -> Vec<u8> {
    let sealer = Sealer::new(attested(key));
    sealer.seal(&header(), &secret(), &mut rng(2)).unwrap()
}

/// The outcome of parsing and opening, with the secret's bytes laid open.
fn open(bytes: &[u8], key: &RecipientKey) -> Option<Vec<u8>> {
    let secret = SealedEnvelope::parse(bytes).ok()?.open(key).ok()?;
    Some(secret.expose().to_vec())
}

#[test]
fn what_is_sealed_opens() {
    for kem in KEMS {
        let key = key(kem);
        let bytes = sealed(&key);
        let envelope = SealedEnvelope::parse(&bytes).unwrap();
        assert_eq!(envelope.header(), &header());
        assert_eq!(envelope.recipient_id(), key.id());
        assert_eq!(envelope.open(&key).unwrap().expose(), SECRET);
    }
}

#[test]
fn the_tagged_form_is_the_same_envelope() {
    let key = key(Kem::X25519);
    let tagged = [&[0xd0][..], &sealed(&key)].concat();
    assert_eq!(open(&tagged, &key).as_deref(), Some(SECRET));
    // Another tag, two tags, and tag 16 in two bytes are not.
    for prefix in [&[0xd1][..], &[0xd0, 0xd0], &[0xd8, 0x10]] {
        assert!(SealedEnvelope::parse(&[prefix, &sealed(&key)].concat()).is_err());
    }
}

#[test]
fn no_single_bit_may_change() {
    for kem in KEMS {
        let key = key(kem);
        let bytes = sealed(&key);
        assert!(open(&bytes, &key).is_some());
        // Every bit where the structure is, every 17th elsewhere (a decapsulation costs 0.3 ms).
        for bit in (0..bytes.len() * 8).filter(|bit| *bit < 1024 || bit % 17 == 0) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&changed, &key), None, "{kem:?}, bit {bit}");
        }
    }
}

#[test]
fn no_byte_may_be_missing_or_follow() {
    let key = key(Kem::X25519);
    let bytes = sealed(&key);
    for length in 0..bytes.len() {
        assert!(SealedEnvelope::parse(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        SealedEnvelope::parse(&longer).map(drop),
        Err(ParseError::Malformed)
    );
}

#[test]
fn only_the_recipient_opens_it() {
    for kem in KEMS {
        let bytes = sealed(&key(kem));
        let same_id = RecipientKey::generate(kem, *key(kem).id(), &mut rng(9)).unwrap();
        assert_eq!(open(&bytes, &same_id), None);
        let other_id =
            RecipientKey::from_parts(kem, [9; 8], key(kem).private_key().clone()).unwrap();
        assert_eq!(open(&bytes, &other_id), None);
        let other_kem = key(if kem == Kem::X25519 {
            Kem::MlKem768X25519
        } else {
            Kem::X25519
        });
        assert_eq!(open(&bytes, &other_kem), None);
    }
}

/// The parts of an envelope put together in another way.
fn rebuilt(change: impl FnOnce(&mut coset::CoseEncrypt0)) -> Vec<u8> {
    use coset::CborSerializable;
    let mut object = coset::CoseEncrypt0::from_slice(&sealed(&key(Kem::X25519))).unwrap();
    change(&mut object);
    object.protected.original_data = None;
    object.to_vec().unwrap()
}

#[test]
fn another_header_does_not_open() {
    let bytes = rebuilt(|object| {
        let mut header = header();
        header.owner.subject = "other".into();
        object.protected.header.rest[0].1 = Value::Bytes(header.to_cbor());
    });
    let envelope = SealedEnvelope::parse(&bytes).unwrap();
    assert_eq!(envelope.header().owner.subject, "other");
    assert_eq!(envelope.open(&key(Kem::X25519)).map(drop), Err(OpenError));
    let unchanged = rebuilt(|_| {});
    assert!(open(&unchanged, &key(Kem::X25519)).is_some());
}

#[test]
fn every_other_form_is_refused() {
    use coset::{Algorithm, iana};
    type Change = fn(&mut coset::CoseEncrypt0);
    let cases: [(Change, ParseError); 11] = [
        (|o| o.protected.header.alg = None, ParseError::Algorithm),
        (
            |o| o.protected.header.alg = Some(Algorithm::Assigned(iana::Algorithm::A256GCM)),
            ParseError::Algorithm,
        ),
        (
            |o| {
                let name = "HPKE-Base-X25519-SHA256-AES256GCM-DAuth-2";
                o.protected.header.alg = Some(Algorithm::Text(name.into()));
            },
            ParseError::Algorithm,
        ),
        (
            |o| o.protected.header.key_id = vec![1; 7],
            ParseError::Malformed,
        ),
        (|o| o.protected.header.rest.clear(), ParseError::Malformed),
        (
            |o| o.protected.header.rest[0].1 = Value::Bytes(vec![0xa0]),
            ParseError::Header(dauth_protocol::cbor::CborError::Malformed),
        ),
        (
            |o| o.protected.header.iv = vec![0; 12],
            ParseError::Malformed,
        ),
        (|o| o.unprotected.rest.clear(), ParseError::Malformed),
        (|o| o.unprotected.key_id = vec![1; 8], ParseError::Malformed),
        (|o| o.ciphertext = None, ParseError::Malformed),
        (
            |o| o.ciphertext = Some(vec![0; cose::TAG_BYTES]),
            ParseError::Malformed,
        ),
    ];
    for (case, (change, error)) in cases.into_iter().enumerate() {
        let refused = SealedEnvelope::parse(&rebuilt(change)).map(drop);
        assert_eq!(refused, Err(error), "case {case}");
    }
}

#[test]
fn a_second_encoding_is_refused() {
    let bytes = sealed(&key(Kem::X25519));
    // The array of three with its length in a byte of its own.
    let longer = [&[0x98, 0x03][..], &bytes[1..]].concat();
    let refused = SealedEnvelope::parse(&longer).map(drop);
    assert_eq!(refused, Err(ParseError::Encoding));
}

#[test]
fn oversize_is_refused_before_it_is_parsed() {
    let refused = SealedEnvelope::parse(&vec![0x83; MAX_ENVELOPE_BYTES + 1]).map(drop);
    assert_eq!(refused, Err(ParseError::TooLong(MAX_ENVELOPE_BYTES)));
    let mut large = header();
    large.policy = ByteBuf::from(vec![0; MAX_ENVELOPE_BYTES]);
    let sealer = Sealer::new(attested(&key(Kem::X25519)));
    assert_eq!(
        sealer.seal(&large, &secret(), &mut rng(1)),
        Err(SealError::TooLong(MAX_ENVELOPE_BYTES))
    );
}

#[test]
fn nothing_is_sealed_for_another_enclave_or_without_randomness() {
    for kem in KEMS {
        let sealer = Sealer::new(attested(&key(kem)));
        let mut other = header();
        other.audience.push('/');
        assert_eq!(
            sealer.seal(&other, &secret(), &mut rng(1)),
            Err(SealError::Audience)
        );
        assert_eq!(
            sealer.seal(&header(), &secret(), &mut Broken),
            Err(SealError::Randomness)
        );
    }
}

/// rustls's HPKE over aws-lc, an implementation of its own, in both directions.
#[test]
fn another_implementation_agrees_on_x25519() {
    let oracle: &dyn Hpke = DH_KEM_X25519_HKDF_SHA256_AES_256;
    let key = key(Kem::X25519);
    let (protected, aad) =
        cose::protect(suite::algorithm(Kem::X25519), *key.id(), header().to_cbor());

    let public = HpkePublicKey(key.public().key);
    let (encapsulated, ciphertext) = oracle.seal(suite::INFO, &aad, SECRET, &public).unwrap();
    let unprotected = Header {
        rest: vec![(Label::Int(ENCAPSULATED_KEY), Value::Bytes(encapsulated.0))],
        ..Header::default()
    };
    let theirs = cose::encode(protected, unprotected, ciphertext).unwrap();
    assert_eq!(open(&theirs, &key).as_deref(), Some(SECRET));

    let ours = SealedEnvelope::parse(&sealed(&key)).unwrap();
    let private = HpkePrivateKey::from(key.private_key().to_vec());
    let encapsulated = EncapsulatedSecret(ours.encapsulated);
    let opened = oracle.open(&encapsulated, suite::INFO, &aad, &ours.ciphertext, &private);
    assert_eq!(opened.unwrap(), SECRET);
}
