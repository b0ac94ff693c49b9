//! What is not there.
use dauth_protocol::audit::BootId;

use super::{
    ledger::{BOOT, stored},
    *,
};

fn calls_missing(connection: u8, ordinals: &[(u64, u64)]) -> Finding {
    Finding::Calls {
        handle: handle(connection),
        boot: BOOT.into(),
        ordinals: spans(ordinals),
    }
}

fn beginning_missing(connection: u8, to: u64) -> Finding {
    Finding::Beginning {
        handle: handle(connection),
        boot: BOOT.into(),
        ordinals: Span { from: 1, to },
    }
}

fn kept_back(connection: u8, sequences: &[(u64, u64)]) -> Finding {
    Finding::KeptBack {
        handle: handle(connection),
        boot: BOOT.into(),
        sequences: spans(sequences),
    }
}

fn without(page: &ReceiptsPage, places: &[u64]) -> ReceiptsPage {
    let mut page = page.clone();
    let is_kept = |sequence: &u64| !places.contains(sequence);
    page.receipts.retain(|r| is_kept(&r.details.sequence));
    page
}

/// Whichever receipts are taken away, the first, the newest, or some between, it is found.
#[test]
fn every_receipt_that_is_taken_away_is_found() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    let places: Vec<u64> = page.receipts.iter().map(|r| r.details.sequence).collect();
    for taken in 1..1_usize << places.len() {
        let chosen = places
            .iter()
            .enumerate()
            .filter(|(at, _)| taken & (1 << at) != 0);
        let taken: Vec<u64> = chosen.map(|(_, place)| *place).collect();
        let found = findings(&[without(&page, &taken)], &enclave);
        assert!(!found.is_empty(), "{taken:?}");
    }
}

#[test]
fn a_gap_names_the_calls_and_the_places() {
    let enclave = Enclave::new();
    let page = shared(&enclave).page();
    let found = |places: &[u64]| findings(&[without(&page, places)], &enclave);
    // Connection 1 has the places 1, 4 and 5; connection 2 has 3 and 9.
    assert_eq!(
        found(&[1]),
        [beginning_missing(1, 1), kept_back(1, &[(1, 1)])]
    );
    assert_eq!(
        found(&[4]),
        [calls_missing(1, &[(2, 2)]), kept_back(1, &[(4, 4)])]
    );
    // Nothing came later: the mark alone tells.
    assert_eq!(found(&[5]), [kept_back(1, &[(5, 5)])]);
    assert_eq!(
        found(&[4, 5]),
        [
            Finding::Unused {
                boot: BOOT.into(),
                sequence: 4
            },
            kept_back(1, &[(4, 5)]),
        ]
    );
    assert_eq!(
        found(&[9]),
        [
            Finding::Unused {
                boot: BOOT.into(),
                sequence: 9
            },
            kept_back(2, &[(9, 9)]),
        ]
    );
    assert_eq!(
        found(&[1, 3, 4, 5]),
        [
            beginning_missing(2, 1),
            Finding::Unused {
                boot: BOOT.into(),
                sequence: 1
            },
            Finding::Unused {
                boot: BOOT.into(),
                sequence: 4
            },
            kept_back(2, &[(3, 3)]),
        ]
    );
    let report = verify(&[without(&page, &[1, 4])], &enclave.keys(), Extent::Whole);
    assert_eq!((report.boots[0].receipts, report.boots[0].others), (3, 2));
}

/// The limit of what can be told: a receipt that goes with its batch, and after which none came.
#[test]
fn what_came_last_may_be_hidden_with_its_batch() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    page.receipts.pop();
    page.batches.pop();
    assert_eq!(findings(&[page], &enclave), []);
}

/// Receipts that the enclave could not hand over: their numbers are missing, and nobody is blamed.
#[test]
fn lost_receipts_leave_a_gap() {
    let enclave = Enclave::new();
    let lost = Call {
        change: |r| r.ordinal += 3,
        ..call(1)
    };
    let page = Ledger::of(&enclave, &[&[call(1), lost, call(1)]]).page();
    assert_eq!(findings(&[page], &enclave), [calls_missing(1, &[(2, 4)])]);
}

#[test]
fn calls_that_end_at_once_may_stand_in_another_order() {
    let enclave = Enclave::new();
    let third = Call {
        change: |r| r.ordinal = 3,
        ..call(1)
    };
    let second = Call {
        change: |r| r.ordinal = 2,
        ..call(1)
    };
    let first = Call {
        change: |r| r.ordinal = 1,
        ..call(1)
    };
    let page = Ledger::of(&enclave, &[&[third, first, second]]).page();
    assert_eq!(findings(&[page], &enclave), []);
}

#[test]
fn a_connection_that_the_enclave_had_to_forget_is_counted_anew() {
    let enclave = Enclave::new();
    let first = || Call {
        change: |r| r.ordinal = 1,
        ..call(1)
    };
    let calls = [call(1), call(1), first(), call(1), first()];
    let page = Ledger::of(&enclave, &[&calls]).page();
    let audit = verify(std::slice::from_ref(&page), &enclave.keys(), Extent::Whole);
    assert_eq!(audit.findings, []);
    assert_eq!(audit.connections[0].restarts, 2);
    // A gap within a count stays one: here nothing has its mark, and so nobody kept it back.
    let skipping = Call {
        change: |r| r.ordinal = 2,
        ..call(1)
    };
    let page = Ledger::of(&enclave, &[&[call(1), call(1), skipping]]).page();
    assert_eq!(findings(&[page], &enclave), [calls_missing(1, &[(1, 1)])]);
}

#[test]
fn nothing_is_not_all() {
    let enclave = Enclave::new();
    let empty = ReceiptsPage {
        receipts: Vec::new(),
        batches: Vec::new(),
        next: None,
    };
    assert_eq!(findings(&[empty], &enclave), [Finding::Nothing]);
    assert_eq!(findings(&[], &enclave), [Finding::Nothing]);
}

#[test]
fn a_page_that_names_a_next_one_is_not_all() {
    let enclave = Enclave::new();
    let mut pages = split(&shared(&enclave).page(), 2);
    pages.pop();
    let after = "cursor-1".to_owned();
    let unfinished = Finding::Unfinished { after };
    let found = findings(&pages, &enclave);
    assert_eq!(found.last(), Some(&unfinished), "{found:?}");
}

/// Any page by itself is a part, wherever it begins and ends; what is missing within it is found.
#[test]
fn a_part_may_lack_what_is_before_and_after_it() {
    let enclave = Enclave::new();
    let calls = [
        call(1),
        call(2),
        call(1),
        other(),
        call(1),
        call(2),
        call(1),
    ];
    let page = Ledger::of(&enclave, &[&calls[..3], &calls[3..]]).page();
    let part = |pages: &[ReceiptsPage]| verify(pages, &enclave.keys(), Extent::Part).findings;
    for size in 1..=6 {
        for page in split(&page, size) {
            assert_eq!(part(std::slice::from_ref(&page)), [], "{size}");
        }
    }
    for size in 3..=6 {
        for page in split(&page, size)
            .into_iter()
            .filter(|p| p.receipts.len() >= 3)
        {
            let places: Vec<u64> = page.receipts.iter().map(|r| r.details.sequence).collect();
            for taken in &places[1..places.len() - 1] {
                let is_last_of_its_own = |r: &&dauth_protocol::audit::StoredReceipt| {
                    let this = page.receipts.iter().find(|t| t.details.sequence == *taken);
                    r.details.handle == this.unwrap().details.handle && r.details.sequence != *taken
                };
                // A connection of which nothing is left has no name in the part.
                if !page.receipts.iter().any(|r| is_last_of_its_own(&r)) {
                    continue;
                }
                let found = part(&[without(&page, &[*taken])]);
                assert!(!found.is_empty(), "{size}: {taken}");
            }
        }
    }
}

#[test]
fn numbers_of_any_size_are_no_trouble() {
    let enclave = Enclave::new();
    let mut page = shared(&enclave).page();
    let mut forged = page.receipts[0].details.clone();
    (forged.sequence, forged.ordinal) = (u64::MAX, u64::MAX);
    page.receipts.push(stored(&forged));
    let found = findings(&[page], &enclave);
    let boot: BootId = BOOT.into();
    assert!(found.contains(&Finding::Unvouched {
        boot,
        sequences: spans(&[(u64::MAX, u64::MAX)]),
    }));
    assert!(
        found.contains(&calls_missing(1, &[(4, u64::MAX - 1)])),
        "{found:?}"
    );
    for finding in found {
        assert!(finding.to_string().len() < 400);
    }
}
