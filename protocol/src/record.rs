//! What the vault stores, and what a record binds.
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use crate::{
    Handle, Owner,
    cbor::{self, CborError},
    limit::MAX_RECORD_BYTES,
};

/// The associated data of a record, authenticated with its credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHeader {
    /// Layout of this header: always 1.
    pub layout: u64,
    /// The connection's handle.
    pub handle: Handle,
    /// Its owner.
    pub owner: Owner,
    /// Its tenant.
    pub tenant: String,
    /// The policy's JSON bytes, as the client sealed them.
    pub policy: ByteBuf,
    /// Grows with every change of the connection.
    pub version: u64,
    /// When it was admitted: Unix seconds.
    pub created: u64,
    /// When it stops being usable: Unix seconds.
    pub expires: u64,
}

impl RecordHeader {
    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let header: Self = cbor::decode(bytes, MAX_RECORD_BYTES)?;
        if header.layout == 1 {
            Ok(header)
        } else {
            Err(CborError::UnknownVersion(header.layout))
        }
    }
}

/// SHA-256 of a record: what a token authorizes, so that no other record can be served for it.
///
/// Its text form is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a record's bytes.
    pub fn of(record: &[u8]) -> Self {
        Self(Sha256::digest(record).into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidFingerprint)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record fingerprint: expected 64 hexadecimal digits")]
pub struct InvalidFingerprint;
