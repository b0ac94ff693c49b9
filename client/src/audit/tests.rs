mod attacks;
mod gaps;
mod ledger;

use dauth_protocol::Code;
use dauth_protocol::audit::{Ending, Outcome, Reflection};
use serde_bytes::ByteBuf;

use super::*;
use crate::receipt::tests::Enclave;
use ledger::{Call, Ledger, call, handle, other, split};

/// The findings of a whole.
fn findings(pages: &[ReceiptsPage], enclave: &Enclave) -> Vec<Finding> {
    verify(pages, &enclave.keys(), Extent::Whole).findings
}

fn spans(texts: &[(u64, u64)]) -> Vec<Span> {
    texts.iter().map(|&(from, to)| Span { from, to }).collect()
}

/// Three batches; the first two have a receipt of another owner's, the third is all another's, so
/// that the fourth stands alone.
fn shared(enclave: &Enclave) -> Ledger {
    Ledger::of(
        enclave,
        &[
            &[call(1), other(), call(2)],
            &[call(1), call(1), other()],
            &[other(), other()],
            &[call(2)],
        ],
    )
}

#[test]
fn receipts_that_the_enclave_signed_for_hold() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    let audit = verify(&[page], &enclave.keys(), Extent::Whole);
    assert_eq!(audit.findings, []);
    assert!(audit.holds());
    assert_eq!((audit.receipts, audit.vouched), (5, 5));
    let [boot] = &audit.boots[..] else {
        panic!("{:?}", audit.boots)
    };
    assert_eq!((boot.first, boot.last, boot.batches), (1, 9, 3));
    assert_eq!((boot.receipts, boot.others, boot.not_shown), (5, 2, 2));
    let of_each: Vec<_> = (audit.connections.iter())
        .map(|c| (c.handle.clone(), c.receipts))
        .collect();
    assert_eq!(of_each, [(handle(1), 3), (handle(2), 2)]);
}

#[test]
fn pages_of_every_size_say_the_same() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    let whole = verify(std::slice::from_ref(&page), &enclave.keys(), Extent::Whole);
    for size in 1..=5 {
        let mut pages = split(&page, size);
        let audit = verify(&pages, &enclave.keys(), Extent::Whole);
        assert_eq!(audit.findings, [], "{size}");
        assert_eq!(audit.boots, whole.boots);
        assert_eq!(audit.connections, whole.connections);
        // A page that was fetched twice is no second call.
        pages.insert(0, pages[0].clone());
        let again = verify(&pages, &enclave.keys(), Extent::Whole);
        assert_eq!((again.findings, again.receipts), (vec![], 5), "{size}");
    }
}

/// One connection's receipts alone are what `?handle=` answers.
#[test]
fn the_receipts_of_one_connection_hold_by_themselves() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    page.receipts.retain(|r| r.details.handle == handle(1));
    page.batches.truncate(2);
    assert_eq!(findings(&[page], &enclave), []);
}

#[test]
fn each_boot_has_a_chain_of_its_own() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    let mut second = Ledger::new([8; 16]);
    second.add(&enclave, &[call(1), call(1)]);
    let more = second.page();
    page.receipts.extend(more.receipts);
    page.batches.extend(more.batches);
    let audit = verify(&[page], &enclave.keys(), Extent::Whole);
    assert_eq!(audit.findings, []);
    assert_eq!(audit.boots.len(), 2);
    assert_eq!(audit.connections[0].receipts, 5);
}

#[test]
fn a_former_key_vouches_and_is_told() {
    let (former, enclave) = (Enclave::new(), Enclave::new());
    let keys = KeyConfiguration {
        former_receipt_keys: vec![ByteBuf::from(former.spki())],
        ..enclave.keys()
    };
    let mut ledger = Ledger::of(&former, &[&[call(1)], &[call(1)]]);
    ledger.add(&enclave, &[call(1)]);
    let audit = verify(&[ledger.page()], &keys, Extent::Whole);
    assert_eq!(audit.findings, []);
    let boot = &audit.boots[0];
    assert_eq!((boot.batches, boot.former_key_batches), (3, 2));
}

#[test]
fn a_report_counts_how_calls_ended() {
    let with = |change| Call { change, ..call(1) };
    let calls = [
        call(1),
        with(|r| {
            r.outcome = Outcome::Refused {
                code: Code::PolicyDenied,
            }
        }),
        with(|r| r.outcome = Outcome::Unanswered),
        with(|r| r.ending = Ending::Broken),
        with(|r| r.ending = Ending::Abandoned),
        with(|r| r.reflection = Reflection::Redacted),
        with(|r| r.server = Some("https://mcp.example/mcp".to_owned())),
    ];
    let enclave = Enclave::new();
    let mut ledger = Ledger::of(&enclave, &[&calls]);
    let audit = verify(&[ledger.page()], &enclave.keys(), Extent::Whole);
    assert_eq!(audit.findings, []);
    let connection = &audit.connections[0];
    assert_eq!((connection.receipts, connection.answered), (7, 5));
    assert_eq!((connection.refused, connection.unanswered), (1, 1));
    assert_eq!((connection.broken, connection.abandoned), (1, 1));
    assert_eq!(connection.reflected, 1);
    assert!(!connection.suspended);
    assert_eq!(connection.servers.len(), 1);
    let (first, last) = (1_800_000_000_001, 1_800_000_000_007);
    assert_eq!((connection.first_ms, connection.last_ms), (first, last));

    ledger.add(&enclave, &[with(|r| r.reflection = Reflection::Suspended)]);
    let audit = verify(&[ledger.page()], &enclave.keys(), Extent::Whole);
    // A suspension is told, and is the enclave's own word.
    assert!(audit.holds() && audit.connections[0].suspended);
    assert_eq!(audit.connections[0].reflected, 2);
}

#[test]
fn a_report_is_json_for_a_program() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    page.receipts.remove(1);
    let audit = verify(&[page], &enclave.keys(), Extent::Whole);
    let json = serde_json::to_value(&audit).unwrap();
    assert_eq!(json["receipts"], 4);
    assert_eq!(json["boots"][0]["boot"], "07".repeat(16));
    let kinds: Vec<_> = (json["findings"].as_array().unwrap().iter())
        .map(|finding| finding["finding"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["beginning", "kept_back"]);
}
