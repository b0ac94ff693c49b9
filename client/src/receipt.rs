//! What the client believes about a record: an admission receipt under the attested key.
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::{Algorithm, CborSerializable as _, CoseSign1, iana};
use dauth_protocol::{
    AdmissionReceipt, Fingerprint, Handle, KeyConfiguration,
    limit::{MAX_POLICY_BYTES, MAX_RECORD_BYTES},
    receipt::Admitted,
};

/// A receipt: its payload is small, and its signature 64 bytes.
const MAX_RECEIPT_BYTES: usize = 4096;

/// A record that an attested enclave admitted as asked. Made by [`AdmittedRecord::verify`] alone,
/// and the one thing that is given to the control plane.
#[derive(Clone, Debug)]
pub struct AdmittedRecord {
    record: Vec<u8>,
    receipt: Vec<u8>,
    fingerprint: Fingerprint,
}

/// What was asked to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedAdmission<'a> {
    /// The connection.
    pub handle: &'a Handle,
    /// The policy's JSON bytes, as sealed.
    pub policy: &'a [u8],
    /// The version.
    pub version: u64,
    /// Whose signature counts.
    pub signer: ReceiptSigner<'a>,
}

/// Which of an enclave's attested receipt keys a receipt must be under.
#[derive(Clone, Copy, Debug)]
pub enum ReceiptSigner<'a> {
    /// The one in use: for a record that was admitted just now.
    Current(&'a KeyConfiguration),
    /// That one, or one of an earlier generation: for a record that was stored.
    Any(&'a KeyConfiguration),
}

impl<'a> ReceiptSigner<'a> {
    /// SubjectPublicKeyInfo (DER) of each.
    fn keys(self) -> impl Iterator<Item = &'a [u8]> {
        let (keys, former) = match self {
            Self::Current(keys) => (keys, None),
            Self::Any(keys) => (keys, Some(&keys.former_receipt_keys)),
        };
        let former = former.into_iter().flatten().map(|key| key.as_slice());
        core::iter::once(keys.receipt_key.as_slice()).chain(former)
    }
}

/// Why a record is not taken for the one that was asked for: one variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not base64, too long, or not a COSE_Sign1 with ES256 and an admission receipt.
    #[error("the admission receipt is malformed")]
    Malformed,
    /// The signature is not by an attested receipt key.
    #[error("the admission receipt is not signed by the attested enclave")]
    Signature,
    /// Another connection's.
    #[error("the admission receipt is for another connection")]
    Handle,
    /// Another policy than the one sealed.
    #[error("the enclave admitted another policy than the one sealed")]
    Policy,
    /// Another version.
    #[error("the admission receipt is for another version of the connection")]
    Version,
    /// The record is not the one that the receipt names.
    #[error("the record is not the one that the admission receipt names")]
    Fingerprint,
}

impl AdmittedRecord {
    /// Checks an enclave's answer against what was asked.
    pub fn verify(
        admitted: &Admitted,
        expected: &ExpectedAdmission<'_>,
    ) -> Result<Self, ReceiptError> {
        let record = decode(&admitted.record, MAX_RECORD_BYTES)?;
        let receipt = decode(&admitted.receipt, MAX_RECEIPT_BYTES)?;
        let payload = signed_payload(&receipt, expected.signer)?;
        let claims = AdmissionReceipt::from_cbor(&payload).map_err(|_| ReceiptError::Malformed)?;
        if &claims.handle != expected.handle {
            return Err(ReceiptError::Handle);
        }
        debug_assert!(expected.policy.len() <= MAX_POLICY_BYTES);
        let policy = Fingerprint::of(expected.policy);
        if claims.policy_sha256.as_slice() != policy.as_bytes() {
            return Err(ReceiptError::Policy);
        }
        if claims.version != expected.version {
            return Err(ReceiptError::Version);
        }
        let fingerprint = Fingerprint::of(&record);
        if claims.fingerprint.as_slice() != fingerprint.as_bytes() {
            return Err(ReceiptError::Fingerprint);
        }
        Ok(Self {
            record,
            receipt,
            fingerprint,
        })
    }

    /// The record's bytes.
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The receipt's bytes.
    pub fn receipt(&self) -> &[u8] {
        &self.receipt
    }

    /// SHA-256 of the record.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

fn decode(text: &str, max: usize) -> Result<Vec<u8>, ReceiptError> {
    let bytes = STANDARD.decode(text).map_err(|_| ReceiptError::Malformed)?;
    if bytes.is_empty() || bytes.len() > max {
        return Err(ReceiptError::Malformed);
    }
    Ok(bytes)
}

/// The payload of an untagged COSE_Sign1 (RFC 9052 section 4.2) with ES256, once verified.
pub(crate) fn signed_payload(
    receipt: &[u8],
    signer: ReceiptSigner<'_>,
) -> Result<Vec<u8>, ReceiptError> {
    let signed = CoseSign1::from_slice(receipt).map_err(|_| ReceiptError::Malformed)?;
    let protected = &signed.protected.header;
    let es256 = Some(Algorithm::Assigned(iana::Algorithm::ES256));
    if protected.alg != es256 || !protected.crit.is_empty() {
        return Err(ReceiptError::Malformed);
    }
    let is_signed_with = |key| {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        signed
            .verify_signature(&[], |signature, message| key.verify(message, signature))
            .is_ok()
    };
    if !signer.keys().any(is_signed_with) {
        return Err(ReceiptError::Signature);
    }
    signed.payload.ok_or(ReceiptError::Malformed)
}

#[cfg(test)]
pub(crate) mod tests;
