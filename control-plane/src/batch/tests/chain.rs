//! An enclave's chain of receipts, signed by nobody: who stores receipts cannot tell.
use coset::{CborSerializable as _, CoseSign1Builder};
use dauth_protocol::{
    Code, Fingerprint,
    audit::{BootId, CallReceipt, ChainHead, Digest, Ending, Outcome, ReceiptBatch, Reflection},
};

/// One boot.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) boot: BootId,
    pub(crate) next: u64,
    pub(crate) chain: Digest,
}

impl Chain {
    pub(crate) fn new(boot: u8) -> Self {
        let boot = BootId::from([boot; 16]);
        Self {
            boot,
            next: 1,
            chain: ChainHead::start(&boot),
        }
    }

    /// The next batch: a receipt for each owner and handle.
    pub(crate) fn batch(&mut self, calls: &[(&str, &str)]) -> ReceiptBatch {
        let receipts: Vec<CallReceipt> = calls
            .iter()
            .zip(self.next..)
            .map(|((owner, handle), sequence)| receipt(self.boot, sequence, owner, handle))
            .collect();
        let (batch, head) = chained(self, &receipts);
        (self.next, self.chain) = (head.first + head.count, head.head);
        batch
    }

    /// The bytes of the next batch: some receipts of one owner's connection.
    pub(crate) fn of_one(&mut self, owner: &str, handle: &str, count: usize) -> Vec<u8> {
        self.batch(&vec![(owner, handle); count]).to_cbor()
    }
}

/// A batch of any receipts after a chain, and its head.
pub(crate) fn chained(chain: &Chain, receipts: &[CallReceipt]) -> (ReceiptBatch, ChainHead) {
    let receipts_cbor: Vec<Vec<u8>> = receipts.iter().map(CallReceipt::to_cbor).collect();
    let head = ChainHead {
        layout: 1,
        purpose: ChainHead::PURPOSE.to_owned(),
        boot: chain.boot,
        first: chain.next,
        count: receipts.len() as u64,
        previous: chain.chain,
        head: receipts_cbor.iter().fold(chain.chain, |chain, bytes| {
            ChainHead::next(&chain, &Digest::of(bytes))
        }),
        marks: receipts.iter().flat_map(|r| *r.mark().as_bytes()).collect(),
        signed_ms: 1_700_000_000_000,
    };
    let batch = ReceiptBatch {
        head: signed(&head),
        receipts: receipts_cbor.into_iter().map(Into::into).collect(),
    };
    (batch, head)
}

pub(crate) fn signed(head: &ChainHead) -> Vec<u8> {
    let object = CoseSign1Builder::new()
        .payload(head.to_cbor())
        .signature(vec![0; 64]);
    object.build().to_vec().unwrap()
}

pub(crate) fn receipt(boot: BootId, sequence: u64, owner: &str, handle: &str) -> CallReceipt {
    CallReceipt {
        layout: 1,
        boot,
        sequence,
        ordinal: sequence,
        id: [2; 16].into(),
        handle: handle.parse().unwrap(),
        owner: owner.to_owned(),
        fingerprint: Fingerprint::of(b"record"),
        caller: "thumbprint".to_owned(),
        server: Some("https://notes.example/mcp".to_owned()),
        token_id: "jti".to_owned(),
        method: "GET".to_owned(),
        path_hash: Digest::of(b"path"),
        mark_key: [3; 16].into(),
        outcome: match sequence % 2 {
            0 => Outcome::Answered { status: 200 },
            _ => Outcome::Refused {
                code: Code::PolicyDenied,
            },
        },
        ending: Ending::Complete,
        reflection: Reflection::None,
        request_bytes: 0,
        response_bytes: 12,
        started_ms: 1_700_000_000_000,
        duration_ms: 3,
    }
}
