//! A record on its way from the vault to the key that opens it.
use dauth_protocol::{Code, Fingerprint};
use dauth_sealing::{OpenedRecord, RecordKey, SealedRecord};

use crate::refusal::Refusal;

/// A record as the vault served it, and the hash that the token asks for.
pub(super) struct StoredRecord {
    pub(super) bytes: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
}

impl StoredRecord {
    pub(super) fn check(self) -> Result<CheckedRecord, Refusal> {
        let failed = |detail| Refusal::new(Code::DecryptionFailed, detail);
        if Fingerprint::of(&self.bytes) != self.fingerprint {
            return Err(failed("the record is not the one that the token names"));
        }
        let record = SealedRecord::parse(&self.bytes)
            .map_err(|_| failed("the record is not one of this build's"))?;
        Ok(CheckedRecord {
            record,
            fingerprint: self.fingerprint,
        })
    }
}

/// The record that the token names, still sealed.
pub(super) struct CheckedRecord {
    record: SealedRecord,
    pub(super) fingerprint: Fingerprint,
}

impl CheckedRecord {
    /// The record key that it was sealed under.
    pub(super) fn key_id(&self) -> &[u8; 8] {
        self.record.key_id()
    }

    pub(super) fn open(self, key: Option<&RecordKey>) -> Result<OpenedRecord, Refusal> {
        let failed = |detail| Refusal::new(Code::DecryptionFailed, detail);
        let key = key.ok_or(failed("the record was sealed under another keyset"))?;
        self.record
            .open(key)
            .map_err(|_| failed("the record does not open"))
    }
}
