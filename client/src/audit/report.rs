//! What an audit says.
use std::collections::{BTreeMap, BTreeSet};

use dauth_protocol::{
    Handle,
    audit::{BootId, CallReceipt, Ending, Outcome, Reflection},
};
use serde::Serialize;

use super::{
    batches::{Batch, Batches, Signer},
    calls::Calls,
    finding::Finding,
    receipts::Receipts,
};

/// The result of [`super::verify`].
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Each boot that a batch is of.
    pub boots: Vec<BootReport>,
    /// Each connection that a receipt is of.
    pub connections: Vec<ConnectionReport>,
    /// How many receipts are shown, each counted once.
    pub receipts: u64,
    /// How many of them the enclave signed for.
    pub vouched: u64,
    /// What does not hold or is not there, the most serious first.
    pub findings: Vec<Finding>,
}

/// What is shown of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// Which.
    pub boot: BootId,
    /// The first place of its first batch.
    pub first: u64,
    /// The last place of its last batch.
    pub last: u64,
    /// Batches that hold.
    pub batches: u64,
    /// Those of them that a former receipt key signed.
    pub former_key_batches: u64,
    /// Receipts that are shown.
    pub receipts: u64,
    /// Places in the batches that belong to others.
    pub others: u64,
    /// Places between the batches: others', or kept back.
    pub not_shown: u64,
}

/// What the receipts say of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionReport {
    /// Which.
    pub handle: Handle,
    /// Receipts that are shown.
    pub receipts: u64,
    /// Calls that the upstream answered.
    pub answered: u64,
    /// Calls that the enclave refused, or that reached no upstream.
    pub refused: u64,
    /// Calls that ended before there was an answer.
    pub unanswered: u64,
    /// Replies that the upstream or a limit broke off.
    pub broken: u64,
    /// Replies that the caller left.
    pub abandoned: u64,
    /// Replies that held the credential, which was redacted.
    pub reflected: u64,
    /// Whether it was suspended for that.
    pub suspended: bool,
    /// How often the enclave began to number its calls anew within a boot.
    pub restarts: u64,
    /// The records that were opened.
    pub fingerprints: BTreeSet<String>,
    /// The MCP servers that called.
    pub servers: BTreeSet<String>,
    /// When the first call came: Unix milliseconds.
    pub first_ms: u64,
    /// When the last call came: Unix milliseconds.
    pub last_ms: u64,
}

impl Audit {
    /// Whether all of it holds and nothing is missing.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn of(
        batches: &Batches,
        receipts: &Receipts,
        calls: &Calls,
        findings: Vec<Finding>,
    ) -> Self {
        let mut of_boots: BTreeMap<BootId, Vec<&Batch>> = BTreeMap::new();
        for batch in batches.iter() {
            of_boots.entry(batch.head.boot).or_default().push(batch);
        }
        let boots = of_boots.into_iter();
        let mut connections: BTreeMap<&Handle, ConnectionReport> = BTreeMap::new();
        for receipt in receipts.iter() {
            let report = connections
                .entry(&receipt.handle)
                .or_insert_with(|| ConnectionReport::new(receipt, calls));
            report.add(receipt);
        }
        Self {
            boots: boots
                .map(|(boot, batches)| BootReport::of(boot, &batches, receipts, calls))
                .collect(),
            connections: connections.into_values().collect(),
            receipts: receipts.iter().count() as u64,
            vouched: receipts.vouched().count() as u64,
            findings,
        }
    }
}

impl BootReport {
    fn of(boot: BootId, batches: &[&Batch], receipts: &Receipts, calls: &Calls) -> Self {
        let count = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        let first = batches.first().map_or(0, |batch| batch.head.first);
        let end = batches.last().map_or(0, |batch| batch.end());
        let places = count(&mut batches.iter().map(|batch| batch.head.count));
        let is_shown = |(place, _): &(u64, _)| receipts.has(boot, *place);
        let shown = |batch: &&Batch| batch.marked().filter(is_shown).count() as u64;
        let receipts = count(&mut batches.iter().map(shown));
        let former = batches.iter().filter(|b| b.signer == Signer::Former);
        Self {
            boot,
            first,
            last: end.saturating_sub(1),
            batches: batches.len() as u64,
            former_key_batches: former.count() as u64,
            receipts,
            others: (places.saturating_sub(receipts)).saturating_sub(calls.kept_back(&boot)),
            not_shown: end.saturating_sub(first).saturating_sub(places),
        }
    }
}

impl ConnectionReport {
    fn new(first: &CallReceipt, calls: &Calls) -> Self {
        Self {
            handle: first.handle.clone(),
            receipts: 0,
            answered: 0,
            refused: 0,
            unanswered: 0,
            broken: 0,
            abandoned: 0,
            reflected: 0,
            suspended: false,
            restarts: calls.restarts(&first.handle),
            fingerprints: BTreeSet::new(),
            servers: BTreeSet::new(),
            first_ms: first.started_ms,
            last_ms: first.started_ms,
        }
    }

    fn add(&mut self, receipt: &CallReceipt) {
        self.receipts += 1;
        match receipt.outcome {
            Outcome::Answered { .. } => self.answered += 1,
            Outcome::Refused { .. } => self.refused += 1,
            Outcome::Unanswered => self.unanswered += 1,
        }
        match receipt.ending {
            Ending::Complete => {}
            Ending::Broken => self.broken += 1,
            Ending::Abandoned => self.abandoned += 1,
        }
        if receipt.reflection != Reflection::None {
            self.reflected += 1;
        }
        self.suspended |= receipt.reflection == Reflection::Suspended;
        self.fingerprints.insert(receipt.fingerprint.to_string());
        self.servers.extend(receipt.server.clone());
        self.first_ms = self.first_ms.min(receipt.started_ms);
        self.last_ms = self.last_ms.max(receipt.started_ms);
    }
}
