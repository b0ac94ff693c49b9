//! The enclave's long-lived keys: made once, sealed under KMS, endorsed by the image that made them.
//!
//! Two things must hold before a keyset is used. Its *birth document* verifies: an attestation, by
//! this image or a measured predecessor with its configuration, of the keyset's id, generation,
//! public keys, record key commitments and wrapped data key (module `birth`). And its private keys
//! open under the data key that KMS releases to this attested image. The first keeps out a keyset
//! that someone with rights on the KMS key made himself; the second, one whose keys others know.
//!
//! What neither shows is age: at boot the parent may serve an older generation that a trusted image
//! made. Clients refuse it when they have seen a later one; an enclave that runs takes none.
//!
//! Every change makes the next *generation* (module `generation`): new keys in the place of some,
//! former ones kept for as long as something may be under them (module `draft`), a new data key, a
//! new birth document by the image that runs, and a new file in the place of the old one, by compare
//! and set. Module `keeper` says when, and which generation serves.
use dauth_sealing::{RecipientKey, RecordKey};

mod birth;
mod context;
mod data_keys;
mod draft;
mod entropy;
mod error;
mod file;
mod generation;
mod keeper;
mod moment;
mod receipt_key;
mod schedule;
mod secrets;
mod serving;
mod statement;

pub use context::{KeysetContext, running};
pub use error::KeysetError;
pub use generation::{change, create, load};
pub use keeper::{Keeper, TrustedTime};
pub use receipt_key::{ReceiptKey, ReceiptKeyError};
pub use serving::{Announcement, Serving};

use secrets::KeptRecordKey;
use statement::Statement;

/// The keys. Private parts are wiped on drop; there is no Debug, Clone or Serialize.
pub struct Keyset {
    statement: Statement,
    /// Of the file that it was loaded from.
    tag: String,
    recipients: Vec<RecipientKey>,
    former_recipients: Vec<RecipientKey>,
    record_key: KeptRecordKey,
    former_record_keys: Vec<KeptRecordKey>,
    receipt_key: ReceiptKey,
}

impl Keyset {
    /// The keyset's id: the same in every generation.
    pub fn id(&self) -> &[u8; 16] {
        &self.statement.keyset_id
    }

    /// One more with every change of the keyset.
    pub fn generation(&self) -> u64 {
        self.statement.generation
    }

    /// Digests of this generation and of those before it, the latest first.
    pub fn history(&self) -> impl Iterator<Item = [u8; 16]> {
        let before = self.statement.history.iter().map(|digest| **digest);
        // What was decoded can be encoded.
        let own = self.statement.digest().ok().map(|digest| *digest);
        own.into_iter().chain(before)
    }

    /// Keys that envelopes are sealed to, the preferred one first.
    pub fn recipients(&self) -> &[RecipientKey] {
        &self.recipients
    }

    /// The key that an envelope names: a current one, or one that it was sealed to just before
    /// another took its place.
    pub fn recipient(&self, id: &[u8]) -> Option<&RecipientKey> {
        self.recipients
            .iter()
            .chain(&self.former_recipients)
            .find(|key| key.id() == id)
    }

    /// The key that new records are sealed under.
    pub fn record_key(&self) -> &RecordKey {
        &self.record_key.key
    }

    /// The key that a record names: [`Keyset::record_key`] or a former one.
    pub fn record_key_by_id(&self, id: &[u8]) -> Option<&RecordKey> {
        std::iter::once(&self.record_key)
            .chain(&self.former_record_keys)
            .map(|kept| &kept.key)
            .find(|key| key.id() == id)
    }

    /// The key that signs receipts.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// SubjectPublicKeyInfo (DER) of keys that signed receipts before, the latest first.
    pub fn former_receipt_keys(&self) -> impl Iterator<Item = &[u8]> {
        let keys = self.statement.former_receipt_keys.iter();
        keys.map(|key| key.as_slice())
    }

    /// The tag of the file that it was loaded from (`dauth_protocol::host::keyset_tag`).
    fn tag(&self) -> &str {
        &self.tag
    }

    fn is_followed_by(&self, other: &Self) -> Result<(), KeysetError> {
        self.statement.is_followed_by(&other.statement)
    }
}

#[cfg(test)]
pub(crate) mod tests;
