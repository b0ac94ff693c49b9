//! Receipts: each the one that was signed for at its place.
use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_protocol::{
    audit::{BootId, CallReceipt, Digest, ReceiptsPage, StoredReceipt},
    limit::MAX_CALL_RECEIPT_BYTES,
};
use serde_json::Value;

use super::{
    batches::Batches,
    finding::{Finding, ReceiptFlaw},
    span::Span,
};

/// The receipts that are shown, by boot and place; those with a flaw as they say of themselves.
pub(super) struct Receipts {
    shown: BTreeMap<(BootId, u64), CallReceipt>,
    vouched: BTreeSet<(BootId, u64)>,
}

impl Receipts {
    pub(super) fn check(
        pages: &[ReceiptsPage],
        batches: &Batches,
        found: &mut Vec<Finding>,
    ) -> Self {
        let mut receipts = Self {
            shown: BTreeMap::new(),
            vouched: BTreeSet::new(),
        };
        let mut unvouched: BTreeMap<BootId, BTreeSet<u64>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for stored in pages.iter().flat_map(|page| &page.receipts) {
            let details = &stored.details;
            // Pages that were asked for while calls came may share receipts.
            if !seen.insert((details.boot, details.sequence, &stored.receipt)) {
                continue;
            }
            match check(stored, batches) {
                Ok(Checked::Vouched(receipt)) => {
                    let place = (receipt.boot, receipt.sequence);
                    receipts.vouched.insert(place);
                    receipts.shown.insert(place, *receipt);
                    continue;
                }
                Ok(Checked::Unvouched) => {
                    let of_boot = unvouched.entry(details.boot).or_default();
                    of_boot.insert(details.sequence);
                }
                Err(flaw) => found.push(Finding::Receipt {
                    boot: details.boot,
                    sequence: details.sequence,
                    id: details.id,
                    flaw,
                }),
            }
            let place = (details.boot, details.sequence);
            let claimed = receipts.shown.entry(place);
            claimed.or_insert_with(|| details.clone());
        }
        found.extend(unvouched.into_iter().map(|(boot, sequences)| {
            let sequences = Span::of(sequences);
            Finding::Unvouched { boot, sequences }
        }));
        check_order(pages, found);
        receipts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Whether anything is shown for a place.
    pub(super) fn has(&self, boot: BootId, sequence: u64) -> bool {
        self.shown.contains_key(&(boot, sequence))
    }

    /// All that are shown, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CallReceipt> {
        self.shown.values()
    }

    /// Those that the enclave signed for.
    pub(super) fn vouched(&self) -> impl Iterator<Item = &CallReceipt> {
        self.vouched
            .iter()
            .filter_map(|place| self.shown.get(place))
    }

    /// The places shown of one boot, ascending.
    pub(super) fn places(&self, boot: BootId) -> impl DoubleEndedIterator<Item = u64> + '_ {
        let of_boot = self.shown.range((boot, 0)..=(boot, u64::MAX));
        of_boot.map(|((_, sequence), _)| *sequence)
    }
}

enum Checked {
    /// The enclave signed for it.
    Vouched(Box<CallReceipt>),
    /// No batch has its place.
    Unvouched,
}

fn check(stored: &StoredReceipt, batches: &Batches) -> Result<Checked, ReceiptFlaw> {
    let bytes = STANDARD
        .decode(&stored.receipt)
        .ok()
        .filter(|bytes| bytes.len() <= MAX_CALL_RECEIPT_BYTES)
        .ok_or(ReceiptFlaw::Malformed)?;
    let receipt = CallReceipt::from_cbor(&bytes).map_err(|_| ReceiptFlaw::Malformed)?;
    let placed = batches.at(&receipt.boot, receipt.sequence);
    if placed.is_some_and(|(digest, _)| digest != Digest::of(&bytes)) {
        return Err(ReceiptFlaw::Digest);
    }
    if let Some(field) = first_difference(&stored.details, &receipt) {
        return Err(ReceiptFlaw::Details(field));
    }
    match placed {
        None => Ok(Checked::Unvouched),
        Some((_, mark)) if mark != receipt.mark() => Err(ReceiptFlaw::Mark),
        Some(_) => Ok(Checked::Vouched(Box::new(receipt))),
    }
}

/// The first field in which two differ.
fn first_difference(read: &CallReceipt, signed: &CallReceipt) -> Option<String> {
    if read == signed {
        return None;
    }
    let fields = |receipt| match serde_json::to_value(receipt) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (read, signed) = (fields(read), fields(signed));
    let mut names = read.keys().chain(signed.keys());
    let differs = names.find(|name| read.get(*name) != signed.get(*name));
    Some(differs.cloned().unwrap_or_default())
}

/// A page has the oldest first: what stands elsewhere was moved after it came.
fn check_order(pages: &[ReceiptsPage], found: &mut Vec<Finding>) {
    for (number, page) in (1..).zip(pages) {
        let mut last: BTreeMap<BootId, u64> = BTreeMap::new();
        for receipt in page.receipts.iter().map(|stored| &stored.details) {
            let (boot, sequence) = (receipt.boot, receipt.sequence);
            let latest = last.entry(boot).or_default();
            if sequence < *latest {
                found.push(Finding::Order {
                    page: number,
                    boot,
                    sequence,
                });
            }
            *latest = sequence.max(*latest);
        }
    }
}
