pub(crate) mod chain;

use coset::CoseSign1Builder;
use dauth_protocol::limit::MAX_BATCH_RECEIPTS;

use super::*;
use chain::{Chain, chained, receipt, signed};

const HANDLE: &str = "ddls:conn:1";

/// A chain in its middle, and three receipts that go on from there.
fn three() -> (Chain, Vec<CallReceipt>) {
    let mut chain = Chain::new(1);
    chain.of_one("alice", HANDLE, 4);
    let receipts = (5..8).map(|sequence| receipt(chain.boot, sequence, "alice", HANDLE));
    let receipts = receipts.collect();
    (chain, receipts)
}

fn refusal(batch: &ReceiptBatch) -> Option<InvalidBatch> {
    Batch::parse(&batch.to_cbor()).err()
}

#[test]
fn what_an_enclave_hands_over_is_a_batch() {
    let (chain, receipts) = three();
    let (batch, head) = chained(&chain, &receipts);
    let parsed = Batch::parse(&batch.to_cbor()).unwrap();
    assert_eq!(parsed.place().first, 5);
    assert_eq!(parsed.place().chain, head.head);
    assert_eq!(parsed.head(), batch.head);
    let details: Vec<_> = parsed.receipts().iter().map(|r| &r.details).collect();
    assert_eq!(details, receipts.iter().collect::<Vec<_>>());
    let first = Chain::new(2).of_one("bob", HANDLE, MAX_BATCH_RECEIPTS);
    assert!(Batch::parse(&first).is_ok());
}

/// What a host may change in a batch, and by what it is told.
#[test]
fn a_changed_batch_is_refused() {
    let (chain, receipts) = three();
    let (good, head) = chained(&chain, &receipts);
    let with_receipts = |change: fn(&mut Vec<CallReceipt>)| {
        let mut changed = receipts.clone();
        change(&mut changed);
        let receipts = changed.iter().map(|r| r.to_cbor().into()).collect();
        refusal(&ReceiptBatch {
            receipts,
            ..good.clone()
        })
    };
    let changed = with_receipts(|receipts| receipts[1].response_bytes += 1);
    assert_eq!(changed, Some(InvalidBatch::Chain));
    let swapped = with_receipts(|receipts| receipts.swap(0, 2));
    assert_eq!(swapped, Some(InvalidBatch::Place));
    let removed = with_receipts(|receipts| drop(receipts.pop()));
    assert_eq!(removed, Some(InvalidBatch::Count));
    let added = with_receipts(|receipts| receipts.push(receipts[2].clone()));
    assert_eq!(added, Some(InvalidBatch::Count));
    let anothers = with_receipts(|receipts| receipts[0].boot = [9; 16].into());
    assert_eq!(anothers, Some(InvalidBatch::Place));
    let anothers = with_receipts(|receipts| receipts[0].mark_key = [9; 16].into());
    assert_eq!(anothers, Some(InvalidBatch::Mark));

    let with_head = |change: fn(&mut ChainHead)| {
        let mut changed = head.clone();
        change(&mut changed);
        refusal(&ReceiptBatch {
            head: signed(&changed),
            ..good.clone()
        })
    };
    let other = Some(InvalidBatch::Chain);
    assert_eq!(with_head(|head| head.previous = Digest::of(b"")), other);
    assert_eq!(with_head(|head| head.head = Digest::of(b"")), other);
    let moved = Some(InvalidBatch::Place);
    assert_eq!(with_head(|head| head.first += 1), moved);
    assert_eq!(with_head(|head| head.boot = [9; 16].into()), moved);
    assert_eq!(with_head(|_| ()), None, "a neighbour that passes");
}

#[test]
fn the_first_batch_begins_the_chain() {
    let mut elsewhere = Chain::new(1);
    elsewhere.chain = Digest::of(b"");
    let batch = elsewhere.batch(&[("alice", HANDLE)]);
    assert_eq!(refusal(&batch), Some(InvalidBatch::Chain));
}

#[test]
fn a_sequence_that_no_enclave_comes_to_is_refused() {
    let at = |next| {
        let mut chain = Chain::new(1);
        chain.next = next;
        refusal(&chain.batch(&[("alice", HANDLE)]))
    };
    assert_eq!(at(MAX_SEQUENCE), None);
    assert_eq!(at(MAX_SEQUENCE + 1), Some(InvalidBatch::Sequence));
    assert_eq!(at(u64::MAX - 1), Some(InvalidBatch::Sequence));
}

#[test]
fn what_has_another_form_is_refused() {
    let (chain, receipts) = three();
    let (good, head) = chained(&chain, &receipts);
    let with_head = |head: Vec<u8>| {
        refusal(&ReceiptBatch {
            head,
            ..good.clone()
        })
    };
    assert_eq!(with_head(Vec::new()), Some(InvalidBatch::Head));
    assert_eq!(with_head(head.to_cbor()), Some(InvalidBatch::Head));
    let detached = CoseSign1Builder::new().signature(vec![0; 64]).build();
    let detached = detached.to_vec().unwrap();
    assert_eq!(with_head(detached), Some(InvalidBatch::Head));
    let admission = CoseSign1Builder::new().payload(vec![0xa0]).build();
    let admission = with_head(admission.to_vec().unwrap());
    assert!(matches!(admission, Some(InvalidBatch::Form(_))));

    let with_first = |bytes: Vec<u8>| {
        let mut batch = good.clone();
        batch.receipts[0] = bytes.into();
        refusal(&batch)
    };
    let garbage = with_first(b"garbage".to_vec());
    assert!(matches!(garbage, Some(InvalidBatch::Form(_))));
    // The map's last byte ends it (RFC 8949 section 3.2.2): one more field stands before it.
    let mut longer = receipts[0].to_cbor();
    assert_eq!(longer.pop(), Some(0xff));
    longer.extend(b"\x61x\x01\xff");
    assert_eq!(CallReceipt::from_cbor(&longer).as_ref(), Ok(&receipts[0]));
    assert_eq!(with_first(longer), Some(InvalidBatch::Encoding));
    for bytes in [&b""[..], b"garbage", &[0xa0]] {
        assert!(Batch::parse(bytes).is_err());
    }
}

#[test]
fn places_of_one_chain_agree() {
    let mut chain = Chain::new(1);
    let mut next = |count| {
        Batch::parse(&chain.of_one("alice", HANDLE, count))
            .unwrap()
            .place
    };
    let [a, b, c] = [next(2), next(3), next(1)];
    for (one, other) in [(&a, &b), (&b, &c), (&a, &c)] {
        assert!(one.agrees(other) && other.agrees(one));
        assert!(!one.agrees(one));
    }
    let forked = Place {
        previous: Digest::of(b""),
        ..b
    };
    assert!(!a.agrees(&forked) && !forked.agrees(&a));
    let overlapping = Place {
        first: a.first + 1,
        ..b
    };
    assert!(!a.agrees(&overlapping) && !overlapping.agrees(&a));
    let elsewhere = Place {
        boot: [2; 16].into(),
        ..overlapping
    };
    assert!(a.agrees(&elsewhere));
}
