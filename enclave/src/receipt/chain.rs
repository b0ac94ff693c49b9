//! The chain in which the receipts of a boot stand.
use dauth_protocol::{
    audit::{BootId, ChainHead, Digest, ReceiptBatch},
    limit::MAX_BATCH_RECEIPTS,
};
use serde_bytes::ByteBuf;

use super::entry::{Entry, Place};
use crate::{
    clock,
    deposit::{DepositError, cose_sign1},
    keyset::ReceiptKey,
};

/// The receipts of one boot so far.
pub(super) struct Chain {
    boot: BootId,
    /// How many there are.
    length: u64,
    head: Digest,
}

/// A batch that is in the chain.
pub(super) struct Linked {
    pub(super) batch: ReceiptBatch,
    pub(super) first: u64,
    pub(super) count: u64,
}

impl Chain {
    /// A chain of no receipt.
    pub(super) fn begin(boot: BootId) -> Self {
        Self {
            boot,
            length: 0,
            head: ChainHead::start(&boot),
        }
    }

    /// Appends receipts, at least one and at most [`MAX_BATCH_RECEIPTS`], and signs for them. Where
    /// that fails the chain is what it was.
    pub(super) fn append(
        &mut self,
        entries: &[Entry],
        key: &ReceiptKey,
    ) -> Result<Linked, DepositError> {
        debug_assert!((1..=MAX_BATCH_RECEIPTS).contains(&entries.len()));
        let mut sequence = self.length;
        let mut head = self.head;
        let mut marks = Vec::new();
        let mut receipts = Vec::with_capacity(entries.len());
        for entry in entries {
            sequence += 1;
            let place = Place {
                boot: self.boot,
                sequence,
            };
            let receipt = entry.receipt(place, key);
            let receipt = receipt.map_err(|_| DepositError::Unable)?;
            let bytes = receipt.to_cbor();
            head = ChainHead::next(&head, &Digest::of(&bytes));
            marks.extend_from_slice(receipt.mark().as_bytes());
            receipts.push(ByteBuf::from(bytes));
        }
        let (first, count) = (self.length + 1, sequence - self.length);
        let payload = ChainHead {
            layout: 1,
            purpose: ChainHead::PURPOSE.to_owned(),
            boot: self.boot,
            first,
            count,
            previous: self.head,
            head,
            marks,
            signed_ms: clock::now_ms(),
        };
        let signed = cose_sign1(payload.to_cbor(), key)?;
        (self.length, self.head) = (sequence, head);
        let batch = ReceiptBatch {
            head: signed,
            receipts,
        };
        Ok(Linked {
            batch,
            first,
            count,
        })
    }
}
