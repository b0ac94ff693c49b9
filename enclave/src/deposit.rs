//! What the vault is given: a record, and the receipt that vouches for it.
//!
//! It is made when an owner's envelope is admitted, and made again when the record key has changed.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, iana};
use dauth_protocol::{AdmissionReceipt, Fingerprint, RecordHeader, receipt::Admitted};
use dauth_sealing::{RecordKey, SealError, Secret};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use crate::keyset::{Keyset, ReceiptKey};

/// The keys of one generation that deposits are made with.
#[derive(Clone, Copy)]
pub struct DepositKeys<'a> {
    record: &'a RecordKey,
    receipt: &'a dyn SignReceipt,
}

/// A record, and the receipt that vouches for it.
#[derive(Debug)]
pub struct Deposit {
    record: Vec<u8>,
    receipt: AdmissionReceipt,
    signed: Vec<u8>,
}

/// Why there is no deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// What is to be sealed is too long for a record.
    #[error("the content is too long for a record")]
    TooLong,
    /// No randomness, or a key did not work.
    #[error("the enclave could not seal or sign")]
    Unable,
}

/// Signs receipts: the one thing that a deposit needs of a [`ReceiptKey`].
pub(crate) trait SignReceipt: Sync {
    /// ES256 over a message, r and s (RFC 9053 section 2.1).
    fn sign_receipt(&self, message: &[u8]) -> Result<Vec<u8>, DepositError>;
}

impl SignReceipt for ReceiptKey {
    fn sign_receipt(&self, message: &[u8]) -> Result<Vec<u8>, DepositError> {
        let signature = self.sign(message).map_err(|_| DepositError::Unable)?;
        Ok(signature.to_vec())
    }
}

impl<'a> DepositKeys<'a> {
    /// The keys that a keyset seals and signs with now.
    pub fn of(keyset: &'a Keyset) -> Self {
        Self::new(keyset.record_key(), keyset.receipt_key())
    }

    pub(crate) fn new(record: &'a RecordKey, receipt: &'a dyn SignReceipt) -> Self {
        Self { record, receipt }
    }

    /// Whether a record that names this key is sealed as one would be now.
    pub(crate) fn seal_under(&self, key_id: &[u8]) -> bool {
        self.record.id() == key_id
    }

    /// Seals `secret` under `header` and signs for it. No two records are alike.
    pub fn deposit(
        &self,
        header: &RecordHeader,
        secret: &Secret,
        now_s: u64,
    ) -> Result<Deposit, DepositError> {
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| DepositError::Unable)?;
        let record = self
            .record
            .seal(header, secret, nonce)
            .map_err(|error| match error {
                SealError::TooLong(_) => DepositError::TooLong,
                _ => DepositError::Unable,
            })?;
        let receipt = AdmissionReceipt {
            layout: 1,
            purpose: AdmissionReceipt::PURPOSE.to_owned(),
            handle: header.handle.clone(),
            policy_sha256: ByteBuf::from(Sha256::digest(&header.policy).to_vec()),
            fingerprint: ByteBuf::from(Fingerprint::of(&record).as_bytes().to_vec()),
            version: header.version,
            admitted: now_s,
        };
        Ok(Deposit {
            signed: cose_sign1(receipt.to_cbor(), self.receipt)?,
            record,
            receipt,
        })
    }
}

impl Deposit {
    /// The record's bytes.
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The receipt's content.
    pub fn receipt(&self) -> &AdmissionReceipt {
        &self.receipt
    }

    /// Record and signed receipt, as they cross the wire.
    pub fn admitted(&self) -> Admitted {
        Admitted {
            record: BASE64_STANDARD.encode(&self.record),
            receipt: BASE64_STANDARD.encode(&self.signed),
        }
    }
}

/// An untagged COSE_Sign1 (RFC 9052 section 4.2) with ES256.
pub(crate) fn cose_sign1(payload: Vec<u8>, key: &dyn SignReceipt) -> Result<Vec<u8>, DepositError> {
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES256)
        .build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .try_create_signature(&[], |message| key.sign_receipt(message))?
        .build()
        .to_vec()
        .map_err(|_| DepositError::Unable)
}

#[cfg(test)]
pub(crate) mod tests;
