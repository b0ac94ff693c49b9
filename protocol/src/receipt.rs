//! What the enclave signs.
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    Handle,
    cbor::{self, CborError},
    limit::MAX_RECORD_BYTES,
};

/// The payload of an admission receipt: a COSE_Sign1 (ES256) under the attested receipt key.
///
/// The client checks it before the control plane stores the record, so that it knows which policy
/// was admitted and which record to expect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionReceipt {
    /// Layout: always 1.
    pub layout: u64,
    /// Always `"dauth-admission-v1"`, so that no other receipt can be taken for one.
    pub purpose: String,
    /// The connection admitted.
    pub handle: Handle,
    /// SHA-256 of the policy's JSON bytes.
    pub policy_sha256: ByteBuf,
    /// SHA-256 of the record.
    pub fingerprint: ByteBuf,
    /// The record's version.
    pub version: u64,
    /// When it was admitted: Unix seconds.
    pub admitted: u64,
}

impl AdmissionReceipt {
    /// The value of [`AdmissionReceipt::purpose`].
    pub const PURPOSE: &'static str = "dauth-admission-v1";

    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let receipt: Self = cbor::decode(bytes, MAX_RECORD_BYTES)?;
        match (receipt.layout, receipt.purpose.as_str()) {
            (1, Self::PURPOSE) => Ok(receipt),
            (1, _) => Err(CborError::Malformed),
            (layout, _) => Err(CborError::UnknownVersion(layout)),
        }
    }
}

/// The JSON reply to `POST /v1/admit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admitted {
    /// The record: padded base64.
    pub record: String,
    /// The admission receipt: a COSE_Sign1, padded base64.
    pub receipt: String,
}
