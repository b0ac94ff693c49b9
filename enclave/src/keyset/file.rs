//! The keyset as the parent stores it.
use dauth_protocol::limit::MAX_KEYSET_BYTES;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha384};

use super::KeysetError;

const VERSION: u64 = 1;
const PURPOSE: &str = "dauth-keyset-v1";
/// Precedes the hashes in the AEAD's associated data.
const AAD_TAG: &[u8] = b"dauth-keyset-aead-v1:";

/// The file: CBOR. Nothing in it is believed before `verify` (module `birth`).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Layout: always 1.
    version: u64,
    /// Always `"dauth-keyset-v1"`.
    purpose: String,
    /// The timestamp of the birth document: milliseconds since the epoch.
    pub(super) created_ms: u64,
    /// CBOR of a `Statement` (module `statement`).
    pub(super) statement: ByteBuf,
    /// An attestation document: `user_data` is the tagged SHA-384 of `statement`.
    pub(super) birth: ByteBuf,
    /// The data key under the KMS key.
    pub(super) wrapped_key: ByteBuf,
    /// The AEAD's nonce.
    pub(super) nonce: ByteArray<12>,
    /// The private keys under the data key: AES-256-GCM, with [`File::associated_data`].
    pub(super) sealed: ByteBuf,
}

impl File {
    pub(super) fn new(statement: Vec<u8>, birth: Vec<u8>, wrapped_key: Vec<u8>) -> Self {
        Self {
            version: VERSION,
            purpose: PURPOSE.to_owned(),
            created_ms: 0,
            statement: statement.into(),
            birth: birth.into(),
            wrapped_key: wrapped_key.into(),
            nonce: ByteArray::new([0; 12]),
            sealed: ByteBuf::new(),
        }
    }

    pub(super) fn to_cbor(&self) -> Result<Vec<u8>, KeysetError> {
        encode(self)
    }

    pub(super) fn from_cbor(bytes: &[u8]) -> Result<Self, KeysetError> {
        match version_of(bytes)? {
            VERSION => {}
            version => return Err(KeysetError::UnknownVersion(version)),
        }
        let file: Self = decode(bytes)?;
        if file.purpose == PURPOSE {
            Ok(file)
        } else {
            Err(KeysetError::Malformed)
        }
    }

    /// Binds the private keys to the statement (deployment, id, generation, public keys, wrapped
    /// data key) and to the birth document.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        [
            AAD_TAG,
            &Sha384::digest(&self.statement),
            &Sha384::digest(&self.birth),
        ]
        .concat()
    }
}

/// The `version` of a map, whatever else it holds: another layout is named as such.
pub(super) fn version_of(bytes: &[u8]) -> Result<u64, KeysetError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    parse(bytes).map(|Versioned { version }| version)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, KeysetError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|_| KeysetError::Malformed)?;
    Ok(bytes)
}

/// Decodes what [`encode`] wrote, in the one form that it has: other forms of lengths, or bytes in
/// the place of text, would let two files stand for one keyset.
pub(super) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, KeysetError> {
    let value = parse(bytes)?;
    if encode(&value)? == bytes {
        Ok(value)
    } else {
        Err(KeysetError::Malformed)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, KeysetError> {
    if bytes.len() > MAX_KEYSET_BYTES {
        return Err(KeysetError::Malformed);
    }
    ciborium::from_reader(bytes).map_err(|_| KeysetError::Malformed)
}
