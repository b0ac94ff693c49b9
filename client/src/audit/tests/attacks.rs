//! What a control plane, or who has the file, may do to receipts: each is found.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::iana;
use dauth_protocol::audit::{CallReceipt, ChainHead, Digest, StoredBatch};
use serde_json::{Value, json};

use super::{
    ledger::{BOOT, OWNER, signed, stored},
    *,
};

/// A page of five receipts in three batches, changed.
#[track_caller]
fn changed(change: impl Fn(&mut ReceiptsPage)) -> Vec<Finding> {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    change(&mut page);
    let found = findings(&[page], &enclave);
    assert!(!found.is_empty());
    found
}

fn flaw(sequence: u64, flaw: ReceiptFlaw) -> Finding {
    Finding::Receipt {
        boot: BOOT.into(),
        sequence,
        id: u128::from(sequence).to_be_bytes().into(),
        flaw,
    }
}

fn batch_flaw(number: usize, flaw: BatchFlaw) -> Finding {
    let place = Place { page: 1, number };
    Finding::Batch { place, flaw }
}

fn with_bit_flipped(base64: &str, bit: usize) -> String {
    let mut bytes = STANDARD.decode(base64).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    STANDARD.encode(bytes)
}

fn bits(base64: &str) -> usize {
    STANDARD.decode(base64).unwrap().len() * 8
}

#[test]
fn every_bit_of_a_receipt_counts() {
    let enclave = Enclave::new();
    let page = Ledger::of(&enclave, &[&[call(1), other(), call(1)]]).page();
    for bit in 0..bits(&page.receipts[1].receipt) {
        let mut page = page.clone();
        let receipt = &mut page.receipts[1].receipt;
        *receipt = with_bit_flipped(receipt, bit);
        let found = findings(&[page], &enclave);
        let told = |f: &Finding| matches!(f, Finding::Receipt { sequence: 3, .. });
        // Where its place was changed, it is compared with what is there, or nothing is.
        let misplaced = |f: &Finding| matches!(f, Finding::Unvouched { .. });
        assert!(found.iter().any(|f| told(f) || misplaced(f)), "bit {bit}");
    }
}

#[test]
fn every_bit_of_a_head_counts() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    for bit in 0..bits(&page.batches[0].head) {
        let mut page = page.clone();
        let head = &mut page.batches[0].head;
        *head = with_bit_flipped(head, bit);
        let found = findings(&[page], &enclave);
        let told = |f: &Finding| matches!(f, Finding::Batch { place, .. } if place.number == 1);
        assert!(found.iter().any(told), "bit {bit}: {found:?}");
    }
}

/// What is to be read of a receipt is what was signed, field by field.
#[test]
fn every_field_that_is_read_counts() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    let whole = serde_json::to_value(&page).unwrap();
    let fields = whole["receipts"][0].as_object().unwrap();
    assert!(fields.len() > 20, "{fields:?}");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "receipt") {
        let other = match (name.as_str(), value) {
            ("handle", _) => json!(handle(77)),
            ("outcome", _) => json!("refused"),
            ("ending", _) => json!("abandoned"),
            ("reflection", _) => json!("suspended"),
            (_, Value::Number(number)) => json!(number.as_u64().unwrap() + 1),
            (_, Value::String(hex)) if hex.len() >= 32 => {
                json!(hex.replace(['0', '7', '1'], "2").replace('s', "t"))
            }
            (_, Value::String(text)) => json!(format!("{text}x")),
            _ => panic!("{name}: {value}"),
        };
        assert_ne!(other, *value, "{name}");
        let mut whole = whole.clone();
        whole["receipts"][0][name] = other;
        let text = whole.to_string();
        let Ok(pages) = parse(text.as_bytes()) else {
            // It cannot be another without the rest.
            assert_eq!(name, "outcome");
            continue;
        };
        let found = findings(&pages, &enclave);
        let told = |finding: &Finding| match finding {
            Finding::Receipt {
                flaw: ReceiptFlaw::Details(field),
                ..
            } => field == name,
            _ => false,
        };
        assert!(found.iter().any(told), "{name}: {found:?}");
    }
}

#[test]
fn a_field_that_nobody_signed_is_refused() {
    let page = shared(&Enclave::new()).page();
    for (pointer, word) in [
        ("/receipts/2", "receipt number 3"),
        ("/batches/1", "batch number 2"),
    ] {
        let mut whole = serde_json::to_value(&page).unwrap();
        whole.pointer_mut(pointer).unwrap()["note"] = json!("fine");
        let refused = parse(whole.to_string().as_bytes()).unwrap_err().to_string();
        assert!(
            refused.contains(word) && refused.contains("`note`"),
            "{refused}"
        );
    }
}

#[test]
fn a_receipt_made_up_is_refused() {
    // In the place of another owner's.
    let found = changed(|page| {
        let mut made_up = page.receipts[0].details.clone();
        (made_up.sequence, made_up.ordinal) = (2, 2);
        made_up.id = 2u128.to_be_bytes().into();
        page.receipts.insert(1, stored(&made_up));
    });
    assert!(found.contains(&flaw(2, ReceiptFlaw::Digest)), "{found:?}");
    // In a place that no batch has.
    let found = changed(|page| {
        let mut made_up = page.receipts[4].details.clone();
        (made_up.sequence, made_up.ordinal) = (10, 3);
        page.receipts.push(stored(&made_up));
    });
    let unvouched = Finding::Unvouched {
        boot: BOOT.into(),
        sequences: spans(&[(10, 10)]),
    };
    assert_eq!(found, [unvouched]);
    // Instead of the one that was signed for.
    let found = changed(|page| {
        let mut changed = page.receipts[3].details.clone();
        changed.reflection = Reflection::Suspended;
        page.receipts[3] = stored(&changed);
    });
    assert_eq!(found, [flaw(5, ReceiptFlaw::Digest)]);
}

#[test]
fn receipts_that_change_places_are_found() {
    let moved = |from: usize, to: usize| {
        changed(|page| {
            let receipt = page.receipts.remove(from);
            page.receipts.insert(to, receipt);
        })
    };
    let order = |sequence| Finding::Order {
        page: 1,
        boot: BOOT.into(),
        sequence,
    };
    assert_eq!(moved(0, 1), [order(1)]);
    assert_eq!(moved(4, 0), [order(1), order(3), order(4), order(5)]);
    // Their bytes alone, so that what is read is in order.
    let found = changed(|page| {
        let first = page.receipts[0].receipt.clone();
        page.receipts[0].receipt = std::mem::replace(&mut page.receipts[1].receipt, first);
    });
    let details = |at| flaw(at, ReceiptFlaw::Details("handle".to_owned()));
    assert_eq!(found, [details(1), details(3)]);
}

#[test]
fn digests_lead_to_the_head_as_they_are() {
    let swapped = changed(|page| page.batches[0].digests.swap(0, 1));
    let shorter = changed(|page| page.batches[0].digests.truncate(2));
    let longer = changed(|page| page.batches[0].digests.push(Digest::of(b"")));
    let none = changed(|page| page.batches[0].digests.clear());
    for found in [swapped, shorter, longer, none] {
        let unvouched = Finding::Unvouched {
            boot: BOOT.into(),
            sequences: spans(&[(1, 1), (3, 3)]),
        };
        assert_eq!(found, [batch_flaw(1, BatchFlaw::Digests), unvouched]);
    }
}

#[test]
fn a_batch_that_is_taken_away_leaves_its_receipts_without_proof() {
    let found = changed(|page| drop(page.batches.remove(1)));
    let unvouched = Finding::Unvouched {
        boot: BOOT.into(),
        sequences: spans(&[(4, 5)]),
    };
    assert_eq!(found, [unvouched]);
    let found = changed(|page| page.batches.clear());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn another_signer_is_refused() {
    let (enclave, stranger) = (Enclave::new(), Enclave::new());
    let page = shared(&stranger).page();
    let found = findings(&[page], &enclave);
    for number in 1..=3 {
        assert!(found.contains(&batch_flaw(number, BatchFlaw::Signature)));
    }
    // The right key over another purpose, by another algorithm, or over nothing of this kind.
    let page = shared(&enclave).page();
    let head = |change: fn(&mut ChainHead)| {
        let head = STANDARD.decode(&page.batches[0].head).unwrap();
        let keys = enclave.keys();
        let payload = crate::receipt::signed_payload(&head, crate::ReceiptSigner::Current(&keys));
        let mut head = ChainHead::from_cbor(&payload.unwrap()).unwrap();
        change(&mut head);
        head
    };
    let purpose = signed(
        &enclave,
        &head(|h| h.purpose = "dauth-admission-v1".to_owned()),
    );
    let layout = signed(&enclave, &head(|h| h.layout = 2));
    let algorithm = enclave.sign(head(|_| {}).to_cbor(), iana::Algorithm::ES384);
    let garbage = enclave.sign(b"no head".to_vec(), iana::Algorithm::ES256);
    let [algorithm, garbage] = [algorithm, garbage].map(|bytes| STANDARD.encode(bytes));
    let long = STANDARD.encode(vec![0; 4096]);
    for head in [
        purpose,
        layout,
        algorithm,
        garbage,
        long,
        "%".to_owned(),
        String::new(),
    ] {
        let mut page = page.clone();
        page.batches[0].head = head;
        let found = findings(&[page], &enclave);
        assert_eq!(found[0], batch_flaw(1, BatchFlaw::Malformed));
    }
}

/// An enclave signs one history. Two of one boot are a copy of an enclave, or a stolen key.
#[test]
fn a_fork_is_found() {
    let enclave = Enclave::new();
    let histories: [fn(&Enclave) -> Ledger; 4] = [
        |by| Ledger::of(by, &[&[call(1), call(1)], &[call(1)]]),
        |by| Ledger::of(by, &[&[call(1), call(2)]]),
        |by| Ledger::of(by, &[&[call(1)], &[call(2)]]),
        |by| Ledger::of(by, &[&[call(1), call(1), call(1), call(1)]]),
    ];
    for (at, one) in histories.iter().enumerate() {
        for (with, two) in histories.iter().enumerate() {
            let pages = [one(&enclave).page(), two(&enclave).page()];
            let found = findings(&pages, &enclave);
            let is_fork = |found: &Finding| matches!(found, Finding::Fork { .. });
            // The same signed twice is no second history.
            assert_eq!(found.iter().any(is_fork), at != with, "{found:?}");
            assert_eq!(found.is_empty(), at == with, "{found:?}");
        }
    }
}

#[test]
fn a_chain_that_does_not_go_on_is_found() {
    let enclave = Enclave::new();
    let link = |sequence| Finding::Link {
        boot: BOOT.into(),
        sequence,
    };
    // From another beginning.
    let mut ledger = Ledger::new(BOOT);
    ledger.chain = Digest::of(b"elsewhere");
    ledger.add(&enclave, &[call(1)]);
    assert_eq!(findings(&[ledger.page()], &enclave), [link(1)]);
    // From another point in between.
    let mut ledger = Ledger::of(&enclave, &[&[call(1), call(1)]]);
    ledger.chain = Digest::of(b"elsewhere");
    ledger.add(&enclave, &[call(1)]);
    assert_eq!(findings(&[ledger.page()], &enclave), [link(3)]);
    // After batches that are not shown there is nothing to compare with.
    let mut ledger = Ledger::of(&enclave, &[&[call(1)], &[other()]]);
    ledger.add(&enclave, &[call(1)]);
    assert_eq!(findings(&[ledger.page()], &enclave), []);
}

#[test]
fn a_receipt_has_the_mark_that_its_head_says() {
    let enclave = Enclave::new();
    let mut page = Ledger::of(&enclave, &[&[call(1)]]).page();
    let receipt = &page.receipts[0].details;
    let digests = page.batches[0].digests.clone();
    let start = ChainHead::start(&receipt.boot);
    let head = ChainHead {
        layout: 1,
        purpose: ChainHead::PURPOSE.to_owned(),
        boot: receipt.boot,
        first: 1,
        count: 1,
        previous: start,
        head: ChainHead::next(&start, &digests[0]),
        marks: vec![0; 8],
        signed_ms: 1,
    };
    page.batches[0] = StoredBatch {
        head: signed(&enclave, &head),
        digests,
    };
    assert_eq!(findings(&[page], &enclave), [flaw(1, ReceiptFlaw::Mark)]);
}

#[test]
fn receipts_of_two_owners_are_not_one_owners() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page_of(&[OWNER, "s-2"]);
    let owners = Finding::Owners {
        owners: vec![OWNER.to_owned(), "s-2".to_owned()],
    };
    assert_eq!(findings(&[page], &enclave), [owners]);
}

/// The attack: receipts that nobody signed for, of calls so many that to count them overflows.
#[test]
fn numbers_as_large_as_can_be_are_told() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    page.batches.clear();
    let of_place = |sequence| CallReceipt {
        sequence,
        ordinal: u64::MAX,
        started_ms: u64::MAX,
        ..page.receipts[0].details.clone()
    };
    page.receipts = (1..=10).map(|place| stored(&of_place(place))).collect();
    let sentences: Vec<String> = (findings(&[page], &enclave).iter())
        .map(Finding::to_string)
        .collect();
    let of_all = format!("and {} more of connection", u64::MAX);
    assert!(
        sentences.iter().any(|s| s.contains(&of_all)),
        "{sentences:?}"
    );
}
