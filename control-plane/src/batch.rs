//! A batch of receipts, checked as far as who has no attested key can.
//!
//! What is stored hangs together: the receipts are those that the head counts, marks and chains.
//! Whether an enclave signed the head is for owners to find out, who have its evidence; a host that
//! makes batches up is found out by them.
use std::{cmp::Ordering, iter};

use coset::{CborSerializable as _, CoseSign1};
use dauth_protocol::{
    audit::{BootId, CallReceipt, ChainHead, Digest, ReceiptBatch},
    cbor::CborError,
};

/// Beyond it no integer is exact in every JSON reader.
const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// A batch whose parts agree.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    place: Place,
    head: Vec<u8>,
    digests: Vec<Digest>,
    receipts: Vec<Receipt>,
}

/// Where in its boot's chain a batch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The boot.
    pub(crate) boot: BootId,
    /// The sequence of its first receipt.
    pub(crate) first: u64,
    /// How many receipts it has.
    pub(crate) count: u64,
    /// The chain before it.
    pub(crate) previous: Digest,
    /// The chain after it.
    pub(crate) chain: Digest,
}

/// One receipt of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    /// The bytes that are in the chain.
    pub(crate) bytes: Vec<u8>,
    /// What they say.
    pub(crate) details: CallReceipt,
}

/// Why something is no batch of receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidBatch {
    /// The batch, its head's payload or a receipt has another form.
    #[error("not a batch of receipts: {0}")]
    Form(#[from] CborError),
    /// The head is no COSE_Sign1 with a payload.
    #[error("the head is not a COSE_Sign1")]
    Head,
    /// A receipt is encoded otherwise than receipts are: its bytes say more than its fields.
    #[error("a receipt has a second encoding")]
    Encoding,
    /// The head counts more receipts, or fewer.
    #[error("the head counts other receipts than there are")]
    Count,
    /// A sequence is larger than any that an enclave comes to.
    #[error("a sequence is out of range")]
    Sequence,
    /// A receipt is of another boot, or of another place in it.
    #[error("a receipt stands in another's place")]
    Place,
    /// A mark is not that of the receipt.
    #[error("the head marks other receipts")]
    Mark,
    /// The receipts do not lead from the chain before to the chain after.
    #[error("the receipts do not lead to the head")]
    Chain,
}

impl Batch {
    /// Decodes and checks what a host hands over.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidBatch> {
        let batch = ReceiptBatch::from_cbor(bytes)?;
        let signed = CoseSign1::from_slice(&batch.head).map_err(|_| InvalidBatch::Head)?;
        let payload = signed.payload.ok_or(InvalidBatch::Head)?;
        let head = ChainHead::from_cbor(&payload)?;
        let receipts = batch
            .receipts
            .into_iter()
            .map(|bytes| Receipt::parse(bytes.into_vec()))
            .collect::<Result<Vec<_>, _>>()?;
        if receipts.len() as u64 != head.count {
            return Err(InvalidBatch::Count);
        }
        if head.first > MAX_SEQUENCE {
            return Err(InvalidBatch::Sequence);
        }
        let places = iter::successors(Some(head.first), |sequence| sequence.checked_add(1));
        let stands = |(receipt, place): (&Receipt, u64)| {
            receipt.details.boot == head.boot && receipt.details.sequence == place
        };
        if !receipts.iter().zip(places).all(stands) {
            return Err(InvalidBatch::Place);
        }
        if !head
            .marks()
            .eq(receipts.iter().map(|receipt| receipt.details.mark()))
        {
            return Err(InvalidBatch::Mark);
        }
        let digests: Vec<_> = receipts.iter().map(|r| Digest::of(&r.bytes)).collect();
        if !leads(&head, &digests) {
            return Err(InvalidBatch::Chain);
        }
        Ok(Self {
            place: Place {
                boot: head.boot,
                first: head.first,
                count: head.count,
                previous: head.previous,
                chain: head.head,
            },
            head: batch.head,
            digests,
            receipts,
        })
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The signed head.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The digest of each receipt, in order.
    pub(crate) fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The receipts, in order.
    pub(crate) fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }
}

impl Receipt {
    fn parse(bytes: Vec<u8>) -> Result<Self, InvalidBatch> {
        let details = CallReceipt::from_cbor(&bytes)?;
        if details.to_cbor() == bytes {
            Ok(Self { bytes, details })
        } else {
            Err(InvalidBatch::Encoding)
        }
    }
}

impl Place {
    /// Whether both can be of one chain: they do not overlap, and where one follows the other
    /// directly, it goes on from there.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let (before, after) = if self.first <= other.first {
            (self, other)
        } else {
            (other, self)
        };
        match (before.first.saturating_add(before.count)).cmp(&after.first) {
            _ if before.boot != after.boot => true,
            Ordering::Less => true,
            Ordering::Equal => before.chain == after.previous,
            Ordering::Greater => false,
        }
    }
}

fn leads(head: &ChainHead, digests: &[Digest]) -> bool {
    let after = digests.iter().fold(head.previous, |chain, digest| {
        ChainHead::next(&chain, digest)
    });
    let is_begun = head.first != 1 || head.previous == ChainHead::start(&head.boot);
    after == head.head && is_begun
}

#[cfg(test)]
pub(crate) mod tests;
