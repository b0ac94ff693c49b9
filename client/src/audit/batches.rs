//! Batches of receipts: who signed for them, and how they follow each other.
use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_protocol::{
    KeyConfiguration,
    audit::{BootId, ChainHead, Digest, Mark, ReceiptsPage, StoredBatch},
    limit::MAX_CHAIN_HEAD_BYTES,
};

use super::finding::{BatchFlaw, Finding, Place};
use crate::{ReceiptError, ReceiptSigner, receipt::signed_payload};

/// The batches that hold, by boot and first place. No two of a boot share a place.
pub(super) struct Batches(BTreeMap<BootId, BTreeMap<u64, Batch>>);

/// A batch whose head is signed by the enclave and names its digests.
pub(super) struct Batch {
    pub(super) head: ChainHead,
    pub(super) signer: Signer,
    digests: Vec<Digest>,
    marks: Vec<Mark>,
}

/// Which receipt key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// The one in use.
    Current,
    /// One of an earlier generation of the keyset.
    Former,
}

impl Batches {
    pub(super) fn check(
        pages: &[ReceiptsPage],
        keys: &KeyConfiguration,
        found: &mut Vec<Finding>,
    ) -> Self {
        let mut batches = Self(BTreeMap::new());
        // Two pages share a batch that has receipts on both.
        let mut seen = BTreeSet::new();
        for (page, stored) in (1..).zip(pages) {
            for (number, stored) in (1..).zip(&stored.batches) {
                if !seen.insert((&stored.head, &stored.digests)) {
                    continue;
                }
                match Batch::check(stored, keys) {
                    Ok(batch) => batches.insert(batch, found),
                    Err(flaw) => {
                        let place = Place { page, number };
                        found.push(Finding::Batch { place, flaw });
                    }
                }
            }
        }
        batches.check_links(found);
        batches
    }

    fn insert(&mut self, batch: Batch, found: &mut Vec<Finding>) {
        let boot = self.0.entry(batch.head.boot).or_default();
        let (id, first) = (batch.head.boot, batch.head.first);
        let before = boot.range(..first).next_back();
        let other = boot.range(first..batch.end()).next();
        let overlapping = other.or(before.filter(|(_, before)| before.end() > first));
        match overlapping {
            // Signed again, and the same.
            Some((_, known)) if known.is_same_as(&batch) => {}
            Some((known, _)) => found.push(Finding::Fork {
                boot: id,
                sequence: first.max(*known),
            }),
            None => drop(boot.insert(first, batch)),
        }
    }

    fn check_links(&self, found: &mut Vec<Finding>) {
        for (boot, batches) in &self.0 {
            let mut before: Option<&Batch> = None;
            for batch in batches.values() {
                let first = batch.head.first;
                let expected = match before {
                    Some(before) if before.end() == first => Some(before.head.head),
                    None if first == 1 => Some(ChainHead::start(boot)),
                    // What lies between holds no receipt of this owner's.
                    _ => None,
                };
                if expected.is_some_and(|expected| expected != batch.head.previous) {
                    let boot = *boot;
                    found.push(Finding::Link {
                        boot,
                        sequence: first,
                    });
                }
                before = Some(batch);
            }
        }
    }

    /// The digest and the mark that a place has.
    pub(super) fn at(&self, boot: &BootId, sequence: u64) -> Option<(Digest, Mark)> {
        let (first, batch) = self.0.get(boot)?.range(..=sequence).next_back()?;
        let offset = usize::try_from(sequence.checked_sub(*first)?).ok()?;
        Some((*batch.digests.get(offset)?, *batch.marks.get(offset)?))
    }

    /// Every batch, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Batch> {
        self.0.values().flat_map(BTreeMap::values)
    }
}

impl Batch {
    fn check(stored: &StoredBatch, keys: &KeyConfiguration) -> Result<Self, BatchFlaw> {
        let signed = STANDARD
            .decode(&stored.head)
            .ok()
            .filter(|signed| signed.len() <= MAX_CHAIN_HEAD_BYTES)
            .ok_or(BatchFlaw::Malformed)?;
        let (payload, signer) = match signed_payload(&signed, ReceiptSigner::Current(keys)) {
            Ok(payload) => (payload, Signer::Current),
            Err(ReceiptError::Signature) => {
                let payload = signed_payload(&signed, ReceiptSigner::Any(keys));
                (payload.map_err(|_| BatchFlaw::Signature)?, Signer::Former)
            }
            Err(_) => return Err(BatchFlaw::Malformed),
        };
        let head = ChainHead::from_cbor(&payload).map_err(|_| BatchFlaw::Malformed)?;
        let marks: Vec<Mark> = head.marks().collect();
        let digests = stored.digests.clone();
        let leads_to = (digests.iter()).fold(head.previous, |c, d| ChainHead::next(&c, d));
        let is_complete = digests.len() as u64 == head.count;
        if !is_complete || leads_to != head.head {
            return Err(BatchFlaw::Digests);
        }
        Ok(Self {
            head,
            signer,
            digests,
            marks,
        })
    }

    /// The place after its last.
    pub(super) fn end(&self) -> u64 {
        self.head.first.saturating_add(self.head.count)
    }

    /// Each place with its mark.
    pub(super) fn marked(&self) -> impl Iterator<Item = (u64, Mark)> + '_ {
        (self.head.first..).zip(self.marks.iter().copied())
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let chain = |batch: &Self| (batch.head.first, batch.head.previous, batch.head.head);
        chain(self) == chain(other)
            && self.head.count == other.head.count
            && self.marks == other.marks
    }
}
