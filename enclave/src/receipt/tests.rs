use dauth_protocol::{
    Fingerprint, Owner, RequestPath,
    audit::{CallReceipt, Digest, Ending, Outcome, Reflection},
    limit::{MAX_BATCH_RECEIPTS, MAX_CALL_RECEIPT_BYTES},
};
use http::Method;

use super::{ledger::MAX_CONNECTIONS, *};
use crate::open::ConnectionName;

mod deliveries;
mod endings;
pub(crate) mod parent;

use parent::{Answer, Books};

pub(crate) fn subject(number: u64, method: &Method) -> Subject {
    let owner = Owner {
        issuer: "https://issuer.example".to_owned(),
        subject: "sub-1".to_owned(),
        thumbprint: "o".repeat(43),
    };
    let handle = format!("ddls:conn:{number}").parse().unwrap();
    Subject {
        connection: ConnectionName::of(&owner, &handle),
        owner,
        handle,
        fingerprint: Fingerprint::of(b"record"),
        caller: "c".repeat(43),
        server: None,
        token_id: "token".to_owned(),
        method: method.to_string(),
        path: RequestPath::parse("/me").unwrap(),
    }
}

fn account(receipts: &Receipts, number: u64) -> Account {
    let subject = subject(number, &Method::GET);
    receipts.open(subject, Arrival::now()).unwrap()
}

/// The receipts of some calls, each changed before it is opened.
async fn receipts_of(changes: &[fn(&mut Subject)]) -> Vec<CallReceipt> {
    let mut books = Books::new(Answer::Stores).await;
    for change in changes {
        let mut subject = subject(1, &Method::GET);
        change(&mut subject);
        drop(books.receipts.open(subject, Arrival::now()).unwrap());
    }
    books.receipts(changes.len()).await
}

#[tokio::test(start_paused = true)]
async fn a_receipt_says_who_called_what() {
    let receipts = receipts_of(&[
        |_| {},
        |subject| {
            subject.server = Some("https://mcp.example/mcp".to_owned());
            subject.method = "POST".to_owned();
        },
    ])
    .await;
    let receipt = &receipts[0];
    let expected = subject(1, &Method::GET);
    assert_eq!(receipt.handle, expected.handle);
    assert_eq!(receipt.owner, expected.owner.subject);
    assert_eq!(receipt.fingerprint, expected.fingerprint);
    assert_eq!(receipt.caller, expected.caller);
    assert_eq!((&receipt.server, &*receipt.token_id), (&None, "token"));
    assert_eq!(receipt.method, "GET");
    assert_eq!(
        receipts[1].server.as_deref(),
        Some("https://mcp.example/mcp")
    );
    assert_eq!(receipts[1].method, "POST");
    assert_ne!(receipt.id, receipts[1].id);
    let ordinals = receipts.iter().map(|receipt| receipt.ordinal);
    assert_eq!(ordinals.collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_path_has_one_hash_in_one_connection() {
    let receipts = receipts_of(&[
        |_| {},
        |_| {},
        |subject| subject.path = RequestPath::parse("/you").unwrap(),
        |subject| subject.handle = "ddls:conn:2".parse().unwrap(),
        |subject| subject.owner.subject = "sub-2".to_owned(),
        |subject| subject.owner.issuer = "https://other.example".to_owned(),
        // The same bytes one after the other.
        |subject| {
            subject.owner.issuer.push('s');
            subject.owner.subject.remove(0);
        },
    ])
    .await;
    let first = &receipts[0];
    assert_eq!(receipts[1].path_hash, first.path_hash);
    assert_eq!(receipts[2].mark_key, first.mark_key, "the same connection");
    for (place, other) in receipts.iter().enumerate().skip(2) {
        assert_ne!(other.path_hash, first.path_hash, "{place}");
        assert!(place == 2 || other.mark_key != first.mark_key, "{place}");
    }
    // Who guesses the path must not be able to check the guess.
    assert_ne!(first.path_hash, Digest::of(b"/me"));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_the_longest_texts_is_a_receipt() {
    let receipts = receipts_of(&[
        |subject| {
            subject.owner.subject = "\u{fffd}".repeat(2048 / 3);
            subject.server = Some("s".repeat(2048));
            subject.token_id = "t".repeat(256);
            subject.method = "M".repeat(1000);
            subject.path = RequestPath::parse(&format!("/{}", "p".repeat(4000))).unwrap();
        },
        |subject| {
            subject.server = Some("s".repeat(256));
            subject.token_id = "t".repeat(64);
            subject.method = "M".repeat(32);
        },
    ])
    .await;
    let [long, fitting] = &receipts[..] else {
        panic!("two")
    };
    assert!(long.to_cbor().len() <= MAX_CALL_RECEIPT_BYTES);
    let hash = |text: &str| format!("sha256:{}", Digest::of(text.as_bytes()));
    assert_eq!(long.server, Some(hash(&"s".repeat(2048))));
    assert_eq!(long.token_id, hash(&"t".repeat(256)));
    assert_eq!(long.method, hash(&"M".repeat(1000)));
    assert_eq!(fitting.server, Some("s".repeat(256)));
    assert_eq!(fitting.token_id, "t".repeat(64));
    assert_eq!(fitting.method, "M".repeat(32));
}

/// The attack: thousands of calls by methods as long as a proof may name, while the parent hangs.
#[test]
fn what_waits_has_no_longer_texts_than_a_receipt() {
    let mut long = subject(1, &Method::GET);
    long.server = Some("s".repeat(2048));
    long.token_id = "t".repeat(256);
    long.method = "M".repeat(8 * 1024);
    let waits = long.fitted();
    for text in [waits.server.unwrap(), waits.token_id, waits.method] {
        assert_eq!(text.len(), "sha256:".len() + 64);
    }
}

/// Connections beyond the bound are forgotten, those that were called longest ago first.
#[tokio::test]
async fn ordinals_are_bounded_and_begin_anew() {
    let books = Books::new(Answer::Hangs).await;
    let ordinal_of = |number| {
        let name = subject(number, &Method::GET).connection;
        books.receipts.ledger.counts().ordinals.get(&name).copied()
    };
    drop(account(&books.receipts, 1));
    drop(account(&books.receipts, 2));
    let mut counts = books.receipts.ledger.counts();
    for number in 0..MAX_CONNECTIONS as u64 - 1 {
        let name = subject(10 + number, &Method::GET).connection;
        counts.ordinals.insert(name, 1);
    }
    drop(counts);
    assert_eq!((ordinal_of(1), ordinal_of(2)), (None, Some(1)));
    drop(account(&books.receipts, 1));
    drop(account(&books.receipts, 1));
    assert_eq!(ordinal_of(1), Some(2));
}
