use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use coset::{CoseSign1Builder, HeaderBuilder};
use serde_bytes::ByteBuf;

use super::*;

/// An enclave's receipt key.
pub(crate) struct Enclave(EcdsaKeyPair);

impl Enclave {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let key = self.0.public_key();
        let der: PublicKeyX509Der<'_> = key.as_der().unwrap();
        der.as_ref().to_vec()
    }

    pub(crate) fn receipt(&self, claims: &AdmissionReceipt, algorithm: iana::Algorithm) -> Vec<u8> {
        let protected = HeaderBuilder::new().algorithm(algorithm).build();
        CoseSign1Builder::new()
            .protected(protected)
            .payload(claims.to_cbor())
            .create_signature(&[], |message| {
                let signature = self.0.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            })
            .build()
            .to_vec()
            .unwrap()
    }
}

pub(crate) const POLICY: &[u8] = br#"{"version":1}"#;
pub(crate) const RECORD: &[u8] = b"the record's bytes";

pub(crate) fn handle() -> Handle {
    "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f"
        .parse()
        .unwrap()
}

fn claims() -> AdmissionReceipt {
    AdmissionReceipt {
        layout: 1,
        purpose: AdmissionReceipt::PURPOSE.to_owned(),
        handle: handle(),
        policy_sha256: ByteBuf::from(*Fingerprint::of(POLICY).as_bytes()),
        fingerprint: ByteBuf::from(*Fingerprint::of(RECORD).as_bytes()),
        version: 3,
        admitted: 1_800_000_000,
    }
}

fn admitted(record: &[u8], receipt: &[u8]) -> Admitted {
    Admitted {
        record: STANDARD.encode(record),
        receipt: STANDARD.encode(receipt),
    }
}

fn verify(enclave: &Enclave, admitted: &Admitted) -> Result<(), ReceiptError> {
    let expected = ExpectedAdmission {
        handle: &handle(),
        policy: POLICY,
        version: 3,
        receipt_key: &enclave.spki(),
    };
    AdmittedRecord::verify(admitted, &expected).map(drop)
}

#[test]
fn accepts_what_was_asked_for() {
    let enclave = Enclave::new();
    let receipt = enclave.receipt(&claims(), iana::Algorithm::ES256);
    assert_eq!(verify(&enclave, &admitted(RECORD, &receipt)), Ok(()));
}

#[test]
fn refuses_every_flipped_bit() {
    let enclave = Enclave::new();
    let receipt = enclave.receipt(&claims(), iana::Algorithm::ES256);
    for position in 0..receipt.len() * 8 {
        let mut flipped = receipt.clone();
        flipped[position / 8] ^= 1 << (position % 8);
        let refused = verify(&enclave, &admitted(RECORD, &flipped));
        assert!(refused.is_err(), "bit {position}");
    }
    for position in 0..RECORD.len() * 8 {
        let mut flipped = RECORD.to_vec();
        flipped[position / 8] ^= 1 << (position % 8);
        let refused = verify(&enclave, &admitted(&flipped, &receipt));
        assert_eq!(refused, Err(ReceiptError::Fingerprint), "bit {position}");
    }
}

#[test]
fn refuses_what_is_signed_but_not_asked_for() {
    let enclave = Enclave::new();
    let with = |change: fn(&mut AdmissionReceipt)| {
        let mut claims = claims();
        change(&mut claims);
        let receipt = enclave.receipt(&claims, iana::Algorithm::ES256);
        verify(&enclave, &admitted(RECORD, &receipt))
    };
    let other_handle = |c: &mut AdmissionReceipt| c.handle = "ddls:conn:other".parse().unwrap();
    assert_eq!(with(other_handle), Err(ReceiptError::Handle));
    assert_eq!(with(|c| c.policy_sha256[0] ^= 1), Err(ReceiptError::Policy));
    assert_eq!(with(|c| c.version = 2), Err(ReceiptError::Version));
    assert_eq!(with(|c| c.version = 4), Err(ReceiptError::Version));
    let short = |c: &mut AdmissionReceipt| c.fingerprint.truncate(31);
    assert_eq!(with(short), Err(ReceiptError::Fingerprint));
    let purpose = |c: &mut AdmissionReceipt| c.purpose = "dauth-call-v1".to_owned();
    assert_eq!(with(purpose), Err(ReceiptError::Malformed));
    assert_eq!(with(|c| c.layout = 2), Err(ReceiptError::Malformed));
}

#[test]
fn refuses_other_keys_and_algorithms() {
    let (enclave, other) = (Enclave::new(), Enclave::new());
    let receipt = other.receipt(&claims(), iana::Algorithm::ES256);
    assert_eq!(
        verify(&enclave, &admitted(RECORD, &receipt)),
        Err(ReceiptError::Signature)
    );
    let receipt = enclave.receipt(&claims(), iana::Algorithm::ES384);
    assert_eq!(
        verify(&enclave, &admitted(RECORD, &receipt)),
        Err(ReceiptError::Malformed)
    );
    let tagged = [
        &[0xd2][..],
        &enclave.receipt(&claims(), iana::Algorithm::ES256),
    ]
    .concat();
    for bad in [&[][..], &[0x84], &tagged, &vec![0; MAX_RECEIPT_BYTES + 1]] {
        assert_eq!(
            verify(&enclave, &admitted(RECORD, bad)),
            Err(ReceiptError::Malformed)
        );
    }
}
