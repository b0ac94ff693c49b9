//! Receipts of calls, verified by the owner of the connections.
//!
//! The control plane keeps the receipts and is not believed: the enclave signed the head of each
//! batch, a head names all receipts of its batch by their digests, and it marks those of each
//! connection. So nobody can change a receipt, make one up, move it, or keep one back in a batch of
//! which another receipt of the same connection is shown; and a call that is missing among the later
//! ones of its connection is told by their numbers.
//!
//! This shows integrity, not completeness: who hides all that came after some call hides it well,
//! until the connection's next receipt is shown.
//!
//! What is checked, in this order:
//!
//! 1. each batch: its head is signed under an attested receipt key, and its digests lead from the
//!    chain before it to the chain after it;
//! 2. the batches of each boot: none in the place of another, and each goes on where the one before
//!    it ended;
//! 3. each receipt: its bytes have the digest and the mark that its place in its batch has, and what
//!    is to be read of it says the same;
//! 4. each connection: its calls are numbered from 1 without a gap, and no place that is marked as
//!    the connection's is empty.
mod batches;
mod calls;
mod fetch;
mod finding;
mod pages;
mod receipts;
mod report;
mod span;

use std::collections::BTreeSet;

use dauth_protocol::{KeyConfiguration, audit::ReceiptsPage};

pub(crate) use fetch::fetch;
pub use fetch::{Since, Wanted};
pub use finding::{BatchFlaw, Finding, Place, ReceiptFlaw};
pub use pages::{PagesError, parse};
pub use report::{Audit, BootReport, ConnectionReport};
pub use span::Span;

use batches::Batches;
use calls::Calls;
use receipts::Receipts;

/// How much of an owner's receipts some pages are meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that there are, of some connections or of every one.
    Whole,
    /// A part in the middle: what is missing before and after it is no finding.
    Part,
}

/// Verifies pages against the receipt keys of an enclave whose evidence was appraised: that in use
/// and those before it.
pub fn verify(pages: &[ReceiptsPage], keys: &KeyConfiguration, extent: Extent) -> Audit {
    let mut found = Vec::new();
    let batches = Batches::check(pages, keys, &mut found);
    let receipts = Receipts::check(pages, &batches, &mut found);
    let calls = Calls::check(&receipts, &batches, extent, &mut found);
    if receipts.is_empty() {
        found.push(Finding::Nothing);
    }
    let owners: BTreeSet<&str> = receipts.iter().map(|r| r.owner.as_str()).collect();
    if owners.len() > 1 {
        let owners = owners.into_iter().map(str::to_owned).collect();
        found.push(Finding::Owners { owners });
    }
    let next = pages.last().and_then(|page| page.next.clone());
    if let (Extent::Whole, Some(after)) = (extent, next) {
        found.push(Finding::Unfinished { after });
    }
    Audit::of(&batches, &receipts, &calls, found)
}

#[cfg(test)]
mod tests;
