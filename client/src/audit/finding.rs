//! What an audit finds: one variant per rule.
use dauth_protocol::{
    Handle,
    audit::{BootId, ReceiptId},
};
use serde::Serialize;

use super::span::{Span, list};

/// Something that does not hold, or is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// No receipt at all.
    #[error("there is no receipt in it, so nothing was checked")]
    Nothing,
    /// The last page is not the last that the control plane has.
    #[error(
        "it is not all: its last page names a further one, which `after={after}` asks for \
         (`dauth audit fetch` gets every page; --partial accepts a part)"
    )]
    Unfinished {
        /// The cursor of the next page.
        after: String,
    },
    /// Receipts of several owners.
    #[error("it holds receipts of several owners: {}", owners.join(", "))]
    Owners {
        /// Who.
        owners: Vec<String>,
    },
    /// A batch that proves nothing.
    #[error("the batch at {place} proves nothing: {flaw}")]
    Batch {
        /// Where it stands.
        place: Place,
        /// Why.
        flaw: BatchFlaw,
    },
    /// Two batches in one place.
    #[error(
        "the enclave's history was forked: two different batches hold receipt {sequence} of boot \
         {boot}"
    )]
    Fork {
        /// The boot.
        boot: BootId,
        /// A place that both have.
        sequence: u64,
    },
    /// A batch that does not go on where the one before it ended.
    #[error(
        "the chain of boot {boot} is broken: the batch from receipt {sequence} on does not follow \
         what was before it"
    )]
    Link {
        /// The boot.
        boot: BootId,
        /// Its first place.
        sequence: u64,
    },
    /// A batch of which no receipt is shown.
    #[error("of the batch from receipt {sequence} of boot {boot} on, no receipt is shown")]
    Unused {
        /// The boot.
        boot: BootId,
        /// Its first place.
        sequence: u64,
    },
    /// A receipt that is not the one that was signed for.
    #[error("receipt {sequence} of boot {boot} ({id}) {flaw}")]
    Receipt {
        /// The boot, as it says.
        boot: BootId,
        /// Its place, as it says.
        sequence: u64,
        /// `DAuth-Receipt-Id`, as it says.
        id: ReceiptId,
        /// What is wrong.
        flaw: ReceiptFlaw,
    },
    /// Receipts for which no batch vouches.
    #[error(
        "no valid batch vouches for {} of boot {boot}",
        list("receipt", sequences)
    )]
    Unvouched {
        /// The boot.
        boot: BootId,
        /// Their places.
        sequences: Vec<Span>,
    },
    /// Receipts of one page that do not stand in the order of the chain.
    #[error("receipt {sequence} of boot {boot} stands after a later one on page {page}")]
    Order {
        /// The page, from 1.
        page: usize,
        /// The boot.
        boot: BootId,
        /// The receipt's place.
        sequence: u64,
    },
    /// Calls of a connection before the first one shown.
    #[error(
        "a gap: no receipt of {} of connection {handle} in boot {boot}, before the first one shown \
         (--partial accepts that, where receipts so old are no longer kept)",
        list("call", &[*ordinals])
    )]
    Beginning {
        /// The connection.
        handle: Handle,
        /// The boot.
        boot: BootId,
        /// Which calls, as the enclave numbered them.
        ordinals: Span,
    },
    /// Calls of a connection without a receipt.
    #[error(
        "a gap: no receipt of {} of connection {handle} in boot {boot}",
        list("call", ordinals)
    )]
    Calls {
        /// The connection.
        handle: Handle,
        /// The boot.
        boot: BootId,
        /// Which calls, as the enclave numbered them.
        ordinals: Vec<Span>,
    },
    /// Receipts that the enclave made for a connection, and that are not there.
    #[error(
        "kept back: {} of boot {boot}, which the enclave marked as of connection {handle}",
        list("receipt", sequences)
    )]
    KeptBack {
        /// The connection.
        handle: Handle,
        /// The boot.
        boot: BootId,
        /// Their places.
        sequences: Vec<Span>,
    },
}

/// Where something stands in a file: both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The page.
    pub page: usize,
    /// Which of the page.
    pub number: usize,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "number {} on page {}", self.number, self.page)
    }
}

/// Why a batch proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BatchFlaw {
    /// The head is no COSE_Sign1 of a chain head.
    #[error("its head is not a signed chain head")]
    Malformed,
    /// Somebody else signed.
    #[error("its head is not signed by the attested enclave")]
    Signature,
    /// Not the digests that were signed for.
    #[error("its digests do not lead to the head that the enclave signed")]
    Digests,
}

/// Why a receipt is not the one that was signed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptFlaw {
    /// The bytes are no receipt.
    #[error("was changed: its bytes are not a receipt")]
    Malformed,
    /// Other bytes than those signed for at this place.
    #[error("was changed: it is not the one that the enclave signed for at this place")]
    Digest,
    /// What is to be read is not what the bytes say.
    #[error("was changed: its `{0}` is not what the enclave signed for")]
    Details(String),
    /// The head has another mark for it.
    #[error("has another mark in the head of its batch than its own")]
    Mark,
}
