//! The calls of each connection: which have a receipt, and which have not.
use std::collections::{BTreeMap, BTreeSet};

use dauth_protocol::{
    Handle,
    audit::{BootId, Mark, MarkKey},
};

use super::{
    Extent,
    batches::{Batch, Batches},
    finding::Finding,
    receipts::Receipts,
    span::Span,
};

/// What the numbers and marks say beside what they lack.
pub(super) struct Calls {
    /// How often the enclave began to count a connection's calls anew within a boot.
    restarts: BTreeMap<Handle, u64>,
    /// How many places of each boot were kept back.
    kept_back: BTreeMap<BootId, u64>,
}

impl Calls {
    pub(super) fn check(
        receipts: &Receipts,
        batches: &Batches,
        extent: Extent,
        found: &mut Vec<Finding>,
    ) -> Self {
        let restarts = check_ordinals(receipts, extent, found);
        let mut calls = Self {
            restarts,
            kept_back: BTreeMap::new(),
        };
        calls.check_marks(receipts, batches, extent, found);
        calls
    }

    pub(super) fn restarts(&self, handle: &Handle) -> u64 {
        self.restarts.get(handle).copied().unwrap_or_default()
    }

    pub(super) fn kept_back(&self, boot: &BootId) -> u64 {
        self.kept_back.get(boot).copied().unwrap_or_default()
    }

    /// No place that is marked as one connection's may be empty.
    fn check_marks(
        &mut self,
        receipts: &Receipts,
        batches: &Batches,
        extent: Extent,
        found: &mut Vec<Finding>,
    ) {
        let keys: BTreeMap<MarkKey, &Handle> = receipts
            .vouched()
            .map(|receipt| (receipt.mark_key, &receipt.handle))
            .collect();
        let mut missing: BTreeMap<(&Handle, BootId), BTreeSet<u64>> = BTreeMap::new();
        for batch in batches.iter() {
            let boot = batch.head.boot;
            if !batch.marked().any(|(place, _)| receipts.has(boot, place)) {
                let sequence = batch.head.first;
                found.push(Finding::Unused { boot, sequence });
            }
            for (place, mark) in expected(batch, receipts, extent) {
                let owner = keys
                    .iter()
                    .find(|(key, _)| Mark::of(key, &boot, place) == mark);
                if let Some((_, handle)) = owner {
                    missing.entry((*handle, boot)).or_default().insert(place);
                }
            }
        }
        for ((handle, boot), places) in missing {
            *self.kept_back.entry(boot).or_default() += places.len() as u64;
            found.push(Finding::KeptBack {
                handle: handle.clone(),
                boot,
                sequences: Span::of(places),
            });
        }
    }
}

/// The places of a batch that are empty, and would not be if they were this owner's.
fn expected<'a>(
    batch: &'a Batch,
    receipts: &'a Receipts,
    extent: Extent,
) -> impl Iterator<Item = (u64, Mark)> + 'a {
    let boot = batch.head.boot;
    let places = match extent {
        Extent::Whole => 0..u64::MAX,
        // A batch that a part begins or ends in has receipts on another page.
        Extent::Part => {
            let mut places = receipts.places(boot);
            let first = places.next().unwrap_or_default();
            first..places.next_back().unwrap_or(first)
        }
    };
    let marked = batch.marked();
    marked.filter(move |(place, _)| places.contains(place) && !receipts.has(boot, *place))
}

/// The calls of a connection are numbered from 1, in each boot, and again when the enclave had to
/// forget the connection: then a number comes a second time.
fn check_ordinals(
    receipts: &Receipts,
    extent: Extent,
    found: &mut Vec<Finding>,
) -> BTreeMap<Handle, u64> {
    // Calls that end at once may be numbered in one order and stand in another: within a count, a
    // number is there or it is not.
    let mut counts: BTreeMap<(&str, &Handle, BootId), Vec<BTreeSet<u64>>> = BTreeMap::new();
    for receipt in receipts.iter() {
        let connection = (receipt.owner.as_str(), &receipt.handle, receipt.boot);
        let counts = counts.entry(connection).or_default();
        match counts.last_mut() {
            Some(count) if !count.contains(&receipt.ordinal) => drop(count.insert(receipt.ordinal)),
            _ => counts.push(BTreeSet::from([receipt.ordinal])),
        }
    }
    let mut restarts: BTreeMap<Handle, u64> = BTreeMap::new();
    for ((_, handle, boot), counts) in counts {
        *restarts.entry(handle.clone()).or_default() += counts.len().saturating_sub(1) as u64;
        let mut ordinals = Vec::new();
        for (number, count) in counts.into_iter().enumerate() {
            let first = count.first().copied().unwrap_or_default();
            // Before the very first one there may be those that are no longer kept.
            let before = if number == 0 {
                first.saturating_sub(1)
            } else {
                0
            };
            if before > 0 && extent == Extent::Whole {
                found.push(Finding::Beginning {
                    handle: handle.clone(),
                    boot,
                    ordinals: Span {
                        from: 1,
                        to: before,
                    },
                });
            }
            ordinals.extend(Span::between(before, count));
        }
        if !ordinals.is_empty() {
            found.push(Finding::Calls {
                handle: handle.clone(),
                boot,
                ordinals,
            });
        }
    }
    restarts
}
