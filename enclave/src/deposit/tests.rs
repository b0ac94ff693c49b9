use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use coset::CoseSign1;
use dauth_protocol::Owner;
use dauth_sealing::SealedRecord;
use zeroize::Zeroizing;

use super::*;

/// A receipt key whose signatures tests verify.
pub(crate) struct TestReceiptKey(EcdsaKeyPair);

impl TestReceiptKey {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The content of a receipt, if this key signed it.
    pub(crate) fn verified(&self, receipt: &[u8]) -> Option<AdmissionReceipt> {
        let object = CoseSign1::from_slice(receipt).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.0.public_key());
        let verified = object.verify_signature(&[], |signature, message| {
            key.verify(message, signature).map_err(drop)
        });
        verified.ok()?;
        Some(AdmissionReceipt::from_cbor(&object.payload.unwrap()).unwrap())
    }
}

impl SignReceipt for TestReceiptKey {
    fn sign_receipt(&self, message: &[u8]) -> Result<Vec<u8>, DepositError> {
        let signature = self.0.sign(&SystemRandom::new(), message).unwrap();
        Ok(signature.as_ref().to_vec())
    }
}

/// A receipt key that does not work.
struct Broken;

impl SignReceipt for Broken {
    fn sign_receipt(&self, _: &[u8]) -> Result<Vec<u8>, DepositError> {
        Err(DepositError::Unable)
    }
}

fn record_key() -> RecordKey {
    RecordKey::new([2; 8], Zeroizing::new([7; 32])).unwrap()
}

fn header() -> RecordHeader {
    RecordHeader {
        layout: 1,
        handle: "ddls:conn:1".parse().unwrap(),
        owner: Owner {
            issuer: "i".into(),
            subject: "s".into(),
            thumbprint: "t".into(),
        },
        tenant: "o".into(),
        policy: ByteBuf::from(*b"policy"),
        version: 3,
        created: 1,
        expires: 2,
    }
}

fn secret() -> Secret {
    Secret::new(b"sk-test-0123456789abcdef".to_vec()).unwrap()
}

#[test]
fn the_receipt_vouches_for_the_record() {
    let (record_key, receipt_key) = (record_key(), TestReceiptKey::new());
    let keys = DepositKeys::new(&record_key, &receipt_key);
    let deposit = keys.deposit(&header(), &secret(), 9).unwrap();
    let receipt = receipt_key.verified(&deposit.signed).unwrap();
    assert_eq!(&receipt, deposit.receipt());
    assert_eq!(
        receipt.fingerprint.as_slice(),
        Fingerprint::of(deposit.record()).as_bytes()
    );
    assert_eq!(
        receipt.policy_sha256.as_slice(),
        Sha256::digest(b"policy").as_slice()
    );
    assert_eq!((receipt.version, receipt.admitted), (3, 9));
    assert_eq!(TestReceiptKey::new().verified(&deposit.signed), None);

    let record = SealedRecord::parse(deposit.record()).unwrap();
    let opened = record.open(&record_key).unwrap();
    assert_eq!(opened.header, header());
    assert_eq!(opened.secret.expose(), secret().expose());
}

#[test]
fn no_two_records_are_alike() {
    let (record_key, receipt_key) = (record_key(), TestReceiptKey::new());
    let keys = DepositKeys::new(&record_key, &receipt_key);
    let [one, other] = [(); 2].map(|()| keys.deposit(&header(), &secret(), 9).unwrap());
    assert_ne!(one.record(), other.record());
}

#[test]
fn there_is_no_record_without_its_receipt() {
    let record_key = record_key();
    let keys = DepositKeys::new(&record_key, &Broken);
    let refused = keys.deposit(&header(), &secret(), 9).map(drop);
    assert_eq!(refused, Err(DepositError::Unable));

    let receipt_key = TestReceiptKey::new();
    let keys = DepositKeys::new(&record_key, &receipt_key);
    let long = RecordHeader {
        policy: ByteBuf::from(vec![b' '; 128 * 1024]),
        ..header()
    };
    let refused = keys.deposit(&long, &secret(), 9).map(drop);
    assert_eq!(refused, Err(DepositError::TooLong));
}
