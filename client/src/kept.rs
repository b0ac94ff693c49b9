//! The policy in force, taken from a stored record.
//!
//! The control plane returns record and receipt, and is not believed: the receipt is the
//! enclave's, it names the record, and the policy stands in the record's header.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::{CborSerializable as _, CoseEncrypt0, Label, cbor::Value};
use dauth_protocol::{
    Handle, Policy, RecordHeader, limit::MAX_RECORD_BYTES, policy::InvalidPolicy, receipt::Admitted,
};

use crate::{AdmittedRecord, ExpectedAdmission, ReceiptError};

/// The protected header parameter that holds a record's header.
const DAUTH: &str = "dauth";

/// Why the policy in force is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptPolicyError {
    /// The control plane returned no record or no receipt.
    #[error("the control plane does not return the stored record")]
    NotReturned,
    /// The record is not a COSE_Encrypt0 with a record's header.
    #[error("the stored record is malformed")]
    Malformed,
    /// The record is not one that this enclave admitted.
    #[error("the stored record is not vouched for: {0}")]
    NotVouchedFor(#[from] ReceiptError),
    /// The record holds no valid policy.
    #[error("{0}")]
    Policy(#[from] InvalidPolicy),
}

/// The policy of a stored record, once the receipt vouches for it.
pub(crate) fn policy_of(
    stored: &Admitted,
    handle: &Handle,
    version: u64,
    receipt_key: &[u8],
) -> Result<Policy, KeptPolicyError> {
    let record = STANDARD
        .decode(&stored.record)
        .ok()
        .filter(|record| record.len() <= MAX_RECORD_BYTES)
        .ok_or(KeptPolicyError::Malformed)?;
    let header = header_of(&record).ok_or(KeptPolicyError::Malformed)?;
    let expected = ExpectedAdmission {
        handle,
        policy: &header.policy,
        version,
        receipt_key,
    };
    AdmittedRecord::verify(stored, &expected)?;
    Ok(Policy::from_json(&header.policy)?)
}

fn header_of(record: &[u8]) -> Option<RecordHeader> {
    let object = CoseEncrypt0::from_slice(record).ok()?;
    let parameters = object.protected.header.rest.into_iter();
    let bytes = parameters
        .filter(|(label, _)| label == &Label::Text(DAUTH.to_owned()))
        .find_map(|(_, value)| match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        })?;
    RecordHeader::from_cbor(&bytes).ok()
}
