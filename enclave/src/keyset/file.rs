//! The keyset as the parent stores it.
use dauth_protocol::{key_configuration::RecipientPublicKey, limit::MAX_KEYSET_BYTES};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha384};

use super::KeysetError;

const VERSION: u64 = 1;
const PURPOSE: &str = "dauth-keyset-v1";
/// Precedes the hashes in the AEAD's associated data.
const AAD_TAG: &[u8] = b"dauth-keyset-aead-v1:";
/// Precedes what is hashed to commit to a record key.
const COMMITMENT_TAG: &[u8] = b"dauth-record-key-commitment-v1:";

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
    /// CBOR of a [`Statement`].
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

/// What the birth document endorses: everything about a keyset that is not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// Layout: always 1.
    pub(super) version: u64,
    /// The deployment, as in KMS's encryption context.
    pub(super) deployment: String,
    /// The KMS key that wraps the data key.
    pub(super) key_arn: String,
    /// SHA-384 of the wrapped data key.
    pub(super) wrapped_key_sha384: ByteArray<48>,
    /// The keyset's id.
    pub(super) keyset_id: ByteArray<16>,
    /// Grows with every change of the keyset.
    pub(super) generation: u64,
    /// Public keys that envelopes are sealed to, the preferred one first.
    pub(super) recipients: Vec<RecipientPublicKey>,
    /// Keys that records are sealed under, the current one first.
    pub(super) records: Vec<RecordKeyCommitment>,
    /// SubjectPublicKeyInfo (DER) of the receipt key.
    pub(super) receipt_key: ByteBuf,
}

/// A record key, named and committed to without being shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordKeyCommitment {
    /// Names the key in a record.
    pub(super) id: ByteArray<8>,
    /// SHA-384 of a tag, the id and the key. The key has 256 random bits: its hash tells nothing.
    pub(super) sha384: ByteArray<48>,
}

impl RecordKeyCommitment {
    pub(super) fn of(id: [u8; 8], key: &[u8; 32]) -> Self {
        let hash = Sha384::new()
            .chain_update(COMMITMENT_TAG)
            .chain_update(id)
            .chain_update(key)
            .finalize();
        Self {
            id: ByteArray::new(id),
            sha384: ByteArray::new(hash.into()),
        }
    }
}

impl Statement {
    pub(super) const VERSION: u64 = 1;

    pub(super) fn to_cbor(&self) -> Result<Vec<u8>, KeysetError> {
        encode(self)
    }

    pub(super) fn from_cbor(bytes: &[u8]) -> Result<Self, KeysetError> {
        let statement: Self = decode(bytes)?;
        if statement.version == Self::VERSION {
            Ok(statement)
        } else {
            Err(KeysetError::UnknownVersion(statement.version))
        }
    }
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
        let file: Self = decode(bytes)?;
        match (file.version, file.purpose.as_str()) {
            (VERSION, PURPOSE) => Ok(file),
            (VERSION, _) => Err(KeysetError::Malformed),
            (version, _) => Err(KeysetError::UnknownVersion(version)),
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

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, KeysetError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|_| KeysetError::Malformed)?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, KeysetError> {
    if bytes.len() > MAX_KEYSET_BYTES {
        return Err(KeysetError::Malformed);
    }
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|_| KeysetError::Malformed)?;
    // Trailing bytes would let two files stand for one keyset.
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(KeysetError::Malformed)
    }
}
