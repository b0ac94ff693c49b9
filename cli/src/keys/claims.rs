//! What a keyset file claims: read from its statement, and believed by nobody. It is good enough
//! to give an order, which the enclave checks, and to be shown as a claim.
use std::collections::BTreeSet;

use ciborium::Value;
use dauth_protocol::{host::KeyKind, limit::MAX_KEYSET_BYTES};
use serde::{Deserialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

/// Deeper CBOR is no keyset.
const MAX_DEPTH: usize = 16;

/// The statement. Fields of other layouts are passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Claims {
    keyset_id: ByteBuf,
    /// Of the file's keys.
    pub(super) generation: u64,
    /// The deployment's name.
    #[serde(default)]
    pub(super) deployment: Option<String>,
    /// The KMS key that the keyset is under.
    #[serde(default)]
    pub(super) key_arn: Option<String>,
    /// When the generation was made, by the enclave's clock.
    #[serde(default)]
    pub(super) made_ms: Option<u64>,
    #[serde(default)]
    recipients: Option<Value>,
    /// When the present recipient keys were made.
    #[serde(default)]
    pub(super) recipients_made_ms: Option<u64>,
    /// Recipient keys that open what is under way.
    #[serde(default)]
    pub(super) former_recipients: Vec<Former>,
    #[serde(default)]
    record: Option<Value>,
    /// Record keys that open what was stored.
    #[serde(default)]
    pub(super) former_records: Vec<Former>,
    #[serde(default)]
    receipt_key: Option<Value>,
    /// Keys that signed receipts before.
    #[serde(default)]
    pub(super) former_receipt_keys: Vec<Value>,
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Former {
    /// When.
    pub(super) superseded_ms: u64,
}

/// Why a file is no keyset.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimsError {
    /// Too long.
    #[error("it is longer than {MAX_KEYSET_BYTES} bytes")]
    TooLong,
    /// Not a map with a statement in it.
    #[error("it has no statement that can be read")]
    NoStatement,
    /// The statement lacks the id or the generation.
    #[error("its statement has no keyset id or no generation")]
    NoGeneration,
}

impl Claims {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ClaimsError> {
        #[derive(Deserialize)]
        struct File {
            statement: ByteBuf,
        }
        if bytes.len() > MAX_KEYSET_BYTES {
            return Err(ClaimsError::TooLong);
        }
        let file: File = cbor(bytes).ok_or(ClaimsError::NoStatement)?;
        let claims: Self = cbor(&file.statement).ok_or(ClaimsError::NoGeneration)?;
        if (1..=64).contains(&claims.keyset_id.len()) {
            Ok(claims)
        } else {
            Err(ClaimsError::NoGeneration)
        }
    }

    /// The keyset's id, hexadecimal.
    pub(super) fn keyset_id(&self) -> String {
        hex::encode(&self.keyset_id)
    }

    /// The present record key's beginning of service: when the one before ended its own.
    pub(super) fn record_since_ms(&self) -> Option<u64> {
        self.former_records.iter().map(|f| f.superseded_ms).max()
    }

    /// Whether these are a later generation of the same keyset, in which every key of `kinds` is
    /// another.
    pub(super) fn renewed(&self, before: &Self, kinds: &BTreeSet<KeyKind>) -> bool {
        self.keyset_id == before.keyset_id
            && self.generation > before.generation
            && kinds.iter().all(|kind| match kind {
                KeyKind::Recipient => differ(&self.recipients, &before.recipients),
                KeyKind::Record => differ(&self.record, &before.record),
                KeyKind::Receipt => differ(&self.receipt_key, &before.receipt_key),
            })
    }

    /// Record keys that were replaced longer than `after_ms` before this generation was made.
    pub(super) fn replaced_before(&self, after_ms: u64) -> usize {
        let made_ms = self.made_ms.unwrap_or_default();
        self.former_records
            .iter()
            .filter(|former| made_ms.saturating_sub(former.superseded_ms) > after_ms)
            .count()
    }
}

/// Of a layout that does not show a key, its change is not known: then the enclave's word stands.
fn differ(now: &Option<Value>, before: &Option<Value>) -> bool {
    now.is_none() || now != before
}

fn cbor<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH).ok()?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::order::stand_in::{self, Draft};
    use super::*;

    fn claims(draft: &Draft) -> Claims {
        Claims::read(&draft.to_file()).unwrap()
    }

    #[test]
    fn reads_the_statement_and_passes_over_the_rest() {
        let claims = claims(&Draft {
            made_ms: 10_000,
            former_records: vec![4_000, 1_000],
            ..Draft::new(3)
        });
        assert_eq!(claims.keyset_id(), "07".repeat(16));
        assert_eq!(claims.generation, 3);
        assert_eq!(claims.made_ms, Some(10_000));
        assert_eq!(claims.record_since_ms(), Some(4_000));
        assert_eq!(claims.replaced_before(6_000), 1);
        assert_eq!(claims.replaced_before(9_000), 0);
    }

    #[test]
    fn what_was_renewed_shows() {
        let before = claims(&Draft::new(3));
        let after = claims(&Draft {
            record: 9,
            ..Draft::new(4)
        });
        assert!(after.renewed(&before, &[].into()));
        assert!(after.renewed(&before, &[KeyKind::Record].into()));
        assert!(!after.renewed(&before, &[KeyKind::Record, KeyKind::Receipt].into()));
        assert!(!before.renewed(&before, &[].into()));
        assert!(!before.renewed(&after, &[].into()));
    }

    #[test]
    fn what_is_no_keyset_is_told_so() {
        let good = stand_in::keyset(1, 0);
        for length in 0..good.len() {
            assert!(Claims::read(&good[..length]).is_err(), "{length}");
        }
        assert!(Claims::read(&[&good[..], &[0]].concat()).is_err());
        assert!(Claims::read(b"not CBOR").is_err());
        assert!(Claims::read(&[0x81; 100_000]).is_err());
        assert!(Claims::read(&vec![0; MAX_KEYSET_BYTES + 1]).is_err());
        // A length that is not there is not allocated.
        assert!(Claims::read(&[0xa1, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]).is_err());
    }
}
