//! An enclave's receipts, and the control plane that answers with them.
use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::iana;
use dauth_protocol::{
    Fingerprint, Handle,
    audit::{
        BootId, CallReceipt, ChainHead, Digest, Ending, MarkKey, Outcome, ReceiptsPage, Reflection,
        StoredBatch, StoredReceipt,
    },
};

use crate::receipt::tests::Enclave;

pub(super) const BOOT: [u8; 16] = [7; 16];
/// The owner whose pages are read.
pub(super) const OWNER: &str = "s-1";

/// A connection of [`OWNER`]'s.
pub(super) fn handle(number: u8) -> Handle {
    format!("ddls:conn:0191f3a4-7c1e-7b1a-8f00-0000000000{number:02x}")
        .parse()
        .unwrap()
}

/// The receipts of one boot.
pub(super) struct Ledger {
    pub(super) boot: BootId,
    pub(super) chain: Digest,
    sequence: u64,
    ordinals: BTreeMap<(String, u8), u64>,
    batches: Vec<(StoredBatch, Vec<StoredReceipt>)>,
}

/// What a test wants of a call's receipt.
pub(super) struct Call {
    pub(super) owner: &'static str,
    pub(super) connection: u8,
    pub(super) change: fn(&mut CallReceipt),
}

/// A call through a connection of [`OWNER`]'s.
pub(super) fn call(connection: u8) -> Call {
    Call {
        owner: OWNER,
        connection,
        change: |_| {},
    }
}

/// Somebody else's call.
pub(super) fn other() -> Call {
    Call {
        owner: "s-2",
        ..call(9)
    }
}

impl Ledger {
    pub(super) fn new(boot: [u8; 16]) -> Self {
        let boot = boot.into();
        Self {
            boot,
            chain: ChainHead::start(&boot),
            sequence: 0,
            ordinals: BTreeMap::new(),
            batches: Vec::new(),
        }
    }

    /// A ledger of batches of these calls, all signed by `enclave`.
    pub(super) fn of(enclave: &Enclave, batches: &[&[Call]]) -> Self {
        let mut ledger = Self::new(BOOT);
        for calls in batches {
            ledger.add(enclave, calls);
        }
        ledger
    }

    pub(super) fn add(&mut self, enclave: &Enclave, calls: &[Call]) {
        let receipts: Vec<CallReceipt> = calls.iter().map(|call| self.receipt(call)).collect();
        let stored: Vec<StoredReceipt> = receipts.iter().map(stored).collect();
        let encoded = receipts
            .iter()
            .map(|receipt| Digest::of(&receipt.to_cbor()));
        let digests: Vec<Digest> = encoded.collect();
        let previous = self.chain;
        self.chain = digests.iter().fold(previous, |c, d| ChainHead::next(&c, d));
        let head = ChainHead {
            layout: 1,
            purpose: ChainHead::PURPOSE.to_owned(),
            boot: self.boot,
            first: self.sequence + 1 - calls.len() as u64,
            count: calls.len() as u64,
            previous,
            head: self.chain,
            marks: receipts.iter().flat_map(|r| *r.mark().as_bytes()).collect(),
            signed_ms: 1_800_000_000_000,
        };
        let head = signed(enclave, &head);
        self.batches.push((StoredBatch { head, digests }, stored));
    }

    fn receipt(&mut self, call: &Call) -> CallReceipt {
        self.sequence += 1;
        let connection = (call.owner.to_owned(), call.connection);
        let ordinal = self.ordinals.entry(connection).or_default();
        *ordinal += 1;
        let key: MarkKey = {
            let mut key = [call.connection; 16];
            key[..3].copy_from_slice(call.owner.as_bytes());
            key.into()
        };
        let mut receipt = CallReceipt {
            layout: 1,
            boot: self.boot,
            sequence: self.sequence,
            ordinal: *ordinal,
            id: (u128::from(self.sequence)).to_be_bytes().into(),
            handle: handle(call.connection),
            owner: call.owner.to_owned(),
            fingerprint: Fingerprint::of(b"record"),
            caller: "thumbprint".to_owned(),
            server: None,
            token_id: "jti".to_owned(),
            method: "GET".to_owned(),
            path_hash: Digest::of(b"/path"),
            mark_key: key,
            outcome: Outcome::Answered { status: 200 },
            ending: Ending::Complete,
            reflection: Reflection::None,
            request_bytes: 0,
            response_bytes: 12,
            started_ms: 1_800_000_000_000 + self.sequence,
            duration_ms: 3,
        };
        (call.change)(&mut receipt);
        *ordinal = receipt.ordinal;
        receipt
    }

    /// All that [`OWNER`] gets, on one page.
    pub(super) fn page(&self) -> ReceiptsPage {
        self.page_of(&[OWNER])
    }

    pub(super) fn page_of(&self, owners: &[&str]) -> ReceiptsPage {
        let is_own = |receipt: &&StoredReceipt| owners.contains(&receipt.details.owner.as_str());
        let mut page = ReceiptsPage {
            receipts: Vec::new(),
            batches: Vec::new(),
            next: None,
        };
        for (batch, receipts) in &self.batches {
            let own: Vec<_> = receipts.iter().filter(is_own).cloned().collect();
            if !own.is_empty() {
                page.batches.push(batch.clone());
                page.receipts.extend(own);
            }
        }
        page
    }
}

pub(super) fn stored(receipt: &CallReceipt) -> StoredReceipt {
    StoredReceipt {
        receipt: STANDARD.encode(receipt.to_cbor()),
        details: receipt.clone(),
    }
}

pub(super) fn signed(enclave: &Enclave, head: &ChainHead) -> String {
    STANDARD.encode(enclave.sign(head.to_cbor(), iana::Algorithm::ES256))
}

/// Pages of at most so many receipts, each with the batches that they are in.
pub(super) fn split(page: &ReceiptsPage, size: usize) -> Vec<ReceiptsPage> {
    let chunks = page.receipts.chunks(size);
    let last = chunks.len() - 1;
    let page = |(number, receipts): (usize, &[StoredReceipt])| {
        let digests: Vec<Digest> = (receipts.iter())
            .map(|receipt| Digest::of(&STANDARD.decode(&receipt.receipt).unwrap()))
            .collect();
        let has_one = |batch: &&StoredBatch| batch.digests.iter().any(|d| digests.contains(d));
        ReceiptsPage {
            receipts: receipts.to_vec(),
            batches: page.batches.iter().filter(has_one).cloned().collect(),
            next: (number < last).then(|| format!("cursor-{number}")),
        }
    };
    chunks.enumerate().map(page).collect()
}
