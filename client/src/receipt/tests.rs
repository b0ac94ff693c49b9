use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use coset::{CoseSign1Builder, HeaderBuilder};
use dauth_protocol::{deployment::KeyPolicyRule, key_configuration::GuardingKey};
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

    /// A key configuration with this receipt key.
    pub(crate) fn keys(&self) -> KeyConfiguration {
        KeyConfiguration {
            version: 1,
            purpose: KeyConfiguration::PURPOSE.to_owned(),
            tls_key: Vec::new(),
            recipients: Vec::new(),
            receipt_key: self.spki(),
            former_receipt_keys: Vec::new(),
            keyset_id: vec![3; 16],
            generation: 1,
            history: Vec::new(),
            kms_key: GuardingKey {
                arn: "k".to_owned(),
                policy: KeyPolicyRule::Unchecked,
            },
            audience: "https://enclave.example".to_owned(),
            build: "test".to_owned(),
        }
    }

    pub(crate) fn receipt(&self, claims: &AdmissionReceipt, algorithm: iana::Algorithm) -> Vec<u8> {
        self.sign(claims.to_cbor(), algorithm)
    }

    pub(crate) fn sign(&self, payload: Vec<u8>, algorithm: iana::Algorithm) -> Vec<u8> {
        let protected = HeaderBuilder::new().algorithm(algorithm).build();
        CoseSign1Builder::new()
            .protected(protected)
            .payload(payload)
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
    verify_by(ReceiptSigner::Current(&enclave.keys()), admitted)
}

fn verify_by(signer: ReceiptSigner<'_>, admitted: &Admitted) -> Result<(), ReceiptError> {
    let expected = ExpectedAdmission {
        handle: &handle(),
        policy: POLICY,
        version: 3,
        signer,
    };
    AdmittedRecord::verify(admitted, &expected).map(drop)
}

/// After the receipt key was replaced: what is stored stays vouched for, what is new must be under
/// the new key, for the old one may be known to others.
#[test]
fn a_former_key_vouches_for_what_is_stored_alone() {
    let (former, older, enclave) = (Enclave::new(), Enclave::new(), Enclave::new());
    let keys = KeyConfiguration {
        former_receipt_keys: vec![ByteBuf::from(older.spki()), ByteBuf::from(former.spki())],
        ..enclave.keys()
    };
    let receipts = [&former, &older, &enclave].map(|signer| {
        let receipt = signer.receipt(&claims(), iana::Algorithm::ES256);
        admitted(RECORD, &receipt)
    });
    for stored in &receipts {
        assert_eq!(verify_by(ReceiptSigner::Any(&keys), stored), Ok(()));
    }
    let new = receipts.map(|new| verify_by(ReceiptSigner::Current(&keys), &new));
    let refused = Err(ReceiptError::Signature);
    assert_eq!(new, [refused, refused, Ok(())]);
    let stranger = Enclave::new().receipt(&claims(), iana::Algorithm::ES256);
    let stranger = admitted(RECORD, &stranger);
    assert_eq!(verify_by(ReceiptSigner::Any(&keys), &stranger), refused);
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
