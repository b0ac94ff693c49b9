//! What a client seals a credential under.
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    Handle,
    cbor::{self, CborError},
    limit::MAX_ENVELOPE_BYTES,
};

/// Who owns a connection: an opaque subject at an issuer, and the key that the owner proves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// `iss` of the owner's tokens, byte for byte.
    pub issuer: String,
    /// `sub` of the owner's tokens.
    pub subject: String,
    /// RFC 7638 thumbprint of the owner's DPoP key, base64url.
    pub thumbprint: String,
}

/// The associated data of an envelope: all that admission compares with the owner's token.
///
/// It travels in the COSE protected header as the CBOR bytes of this structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeHeader {
    /// Layout of this header: always 1.
    pub layout: u64,
    /// The connection's handle.
    pub handle: Handle,
    /// Its owner.
    pub owner: Owner,
    /// Its tenant: `ddls:org` of the owner's token.
    pub tenant: String,
    /// The enclave that it is for.
    pub audience: String,
    /// The policy's JSON bytes.
    pub policy: ByteBuf,
    /// The record's version: 1, then one more with every change.
    pub version: u64,
    /// When the envelope stops being admissible: Unix seconds, at most ten minutes ahead.
    pub expires: u64,
    /// When the record shall stop being usable: Unix seconds.
    pub record_expires: u64,
}

impl EnvelopeHeader {
    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let header: Self = cbor::decode(bytes, MAX_ENVELOPE_BYTES)?;
        if header.layout == 1 {
            Ok(header)
        } else {
            Err(CborError::UnknownVersion(header.layout))
        }
    }
}
