//! What the birth document endorses: everything about a generation that is not secret.
//!
//! Layout 2. Layout 1 had no former keys and no times; no keyset of it is in use.
use dauth_protocol::{KeyConfiguration, key_configuration::RecipientPublicKey};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha384};

use super::{KeysetError, file};

/// Precedes what is hashed to commit to a record key.
const COMMITMENT_TAG: &[u8] = b"dauth-record-key-commitment-v1:";

/// Recipient keys of one generation: one for each KEM, and room for another.
const MAX_RECIPIENTS: usize = 4;
/// Former recipient keys: those of sixteen changes within the time that they are kept.
pub(super) const MAX_FORMER_RECIPIENTS: usize = 32;
/// Former record keys: a change each day for as long as records live, and some.
pub(super) const MAX_FORMER_RECORDS: usize = 400;
/// Former receipt keys.
pub(super) const MAX_FORMER_RECEIPTS: usize = 16;
/// Earlier generations that are remembered: those that a key configuration names, less the present.
pub(super) const MAX_HISTORY: usize = KeyConfiguration::MAX_HISTORY - 1;
/// Precedes what is hashed to name a generation.
const DIGEST_TAG: &[u8] = b"dauth-keyset-generation-v1:";

/// What the birth document endorses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// Layout: always 2.
    pub(super) version: u64,
    /// The deployment, as in KMS's encryption context.
    pub(super) deployment: String,
    /// The KMS key that wraps the data key.
    pub(super) key_arn: String,
    /// SHA-384 of the wrapped data key.
    pub(super) wrapped_key_sha384: ByteArray<48>,
    /// The keyset's id: the same in every generation.
    pub(super) keyset_id: ByteArray<16>,
    /// One more with every change of the keyset.
    pub(super) generation: u64,
    /// Digests of the generations before this one, the latest first.
    pub(super) history: Vec<ByteArray<16>>,
    /// When this generation was made, by the enclave's clock: milliseconds since the epoch.
    pub(super) made_ms: u64,
    /// Public keys that envelopes are sealed to, the preferred one first.
    pub(super) recipients: Vec<RecipientPublicKey>,
    /// When they were made: at this generation or an earlier one.
    pub(super) recipients_made_ms: u64,
    /// Keys that envelopes under way may still be sealed to, the latest first.
    pub(super) former_recipients: Vec<FormerRecipient>,
    /// The key that records are sealed under.
    pub(super) record: RecordKeyCommitment,
    /// Keys that stored records may still be under, the latest first.
    pub(super) former_records: Vec<FormerRecord>,
    /// SubjectPublicKeyInfo (DER) of the receipt key.
    pub(super) receipt_key: ByteBuf,
    /// The same of keys that signed receipts before, the latest first. Their private parts are gone.
    pub(super) former_receipt_keys: Vec<ByteBuf>,
}

/// A recipient key that is no longer advertised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormerRecipient {
    /// The key.
    pub(super) key: RecipientPublicKey,
    /// When another took its place.
    pub(super) superseded_ms: u64,
}

/// A record key that seals nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormerRecord {
    /// The key.
    pub(super) key: RecordKeyCommitment,
    /// When another took its place.
    pub(super) superseded_ms: u64,
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
    pub(super) const VERSION: u64 = 2;

    pub(super) fn to_cbor(&self) -> Result<Vec<u8>, KeysetError> {
        file::encode(self)
    }

    pub(super) fn from_cbor(bytes: &[u8]) -> Result<Self, KeysetError> {
        match file::version_of(bytes)? {
            Self::VERSION => {}
            version => return Err(KeysetError::UnknownVersion(version)),
        }
        let statement: Self = file::decode(bytes)?;
        statement.check_bounds().map(|()| statement)
    }

    /// Requires `other` to be a later generation that came of this one. Both are of a trusted image; the
    /// parent chooses which of them it serves, and must not choose backwards.
    pub(super) fn is_followed_by(&self, other: &Self) -> Result<(), KeysetError> {
        if self.keyset_id != other.keyset_id {
            Err(KeysetError::OtherKeyset)
        } else if other.generation <= self.generation {
            Err(KeysetError::NotLater)
        } else if other.past(self.generation) != Some(&self.digest()?) {
            Err(KeysetError::OtherHistory)
        } else {
            Ok(())
        }
    }

    /// The digest of an earlier generation.
    fn past(&self, generation: u64) -> Option<&ByteArray<16>> {
        let at = self.generation.checked_sub(generation)?.checked_sub(1)?;
        self.history.get(usize::try_from(at).ok()?)
    }

    /// Names this generation: no two have the same, for each has keys or a data key of its own.
    pub(super) fn digest(&self) -> Result<ByteArray<16>, KeysetError> {
        let hash = Sha384::new()
            .chain_update(DIGEST_TAG)
            .chain_update(self.to_cbor()?)
            .finalize();
        let (digest, _) = hash.split_first_chunk().ok_or(KeysetError::Malformed)?;
        Ok(ByteArray::new(*digest))
    }

    /// How many private keys the statement speaks of.
    pub(super) fn private_keys(&self) -> usize {
        // The record key and the receipt key.
        self.recipients.len() + self.former_recipients.len() + self.former_records.len() + 2
    }

    /// That no more keys are kept than memory, file and disk are meant to hold.
    pub(super) fn check_bounds(&self) -> Result<(), KeysetError> {
        let is_within = (1..=MAX_RECIPIENTS).contains(&self.recipients.len())
            && self.former_recipients.len() <= MAX_FORMER_RECIPIENTS
            && self.former_records.len() <= MAX_FORMER_RECORDS
            && self.former_receipt_keys.len() <= MAX_FORMER_RECEIPTS
            && self.history.len() <= MAX_HISTORY;
        is_within.then_some(()).ok_or(KeysetError::TooManyKeys)
    }
}
