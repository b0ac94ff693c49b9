mod pages;
mod room;

use dauth_protocol::{Handle, audit::ReceiptBatch};

use super::*;
use crate::{
    batch::tests::chain::{Chain, chained, receipt, signed},
    store::Source,
};

const NOW_S: u64 = 1_000_000;
const ROOM: Room = Room {
    bytes: 1 << 30,
    owner_bytes: 1 << 30,
};
const ONE: &str = "ddls:conn:1";
const TWO: &str = "ddls:conn:2";

struct Vault {
    store: Store,
    alice: String,
    bob: String,
    _directory: tempfile::TempDir,
}

impl Vault {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("a.db")).await.unwrap();
        let subject = async |id| {
            let source = Source::Client { issuer: "i", id };
            store.subject(source, NOW_S).await.unwrap()
        };
        let (alice, bob) = (subject("alice").await, subject("bob").await);
        Self {
            store,
            alice,
            bob,
            _directory: directory,
        }
    }

    async fn keep(&self, batch: &[u8]) -> &'static str {
        self.keep_at(batch, ROOM, NOW_S).await
    }

    async fn keep_at(&self, batch: &[u8], room: Room, now_s: u64) -> &'static str {
        let batch = Batch::parse(batch).unwrap();
        match self.store.keep_receipts(&batch, room, now_s).await {
            Ok(Kept::Now { in_full }) if in_full == batch.place().count => "now",
            Ok(Kept::Now { .. }) => "in part",
            Ok(Kept::Before) => "before",
            Err(KeepError::Conflict) => "conflict",
            Err(KeepError::Full) => "full",
            Err(KeepError::Store(error)) => panic!("{error}"),
        }
    }

    /// Sequences of an owner's receipts on one page, and where it ended.
    async fn page(&self, owner: &str, after: i64, limit: u32) -> (Vec<u64>, Option<i64>) {
        let query = PageQuery {
            handle: None,
            after,
            limit,
        };
        let page = self.store.receipts(owner, &query).await.unwrap();
        let sequences = page.receipts.iter().map(|r| r.details.sequence);
        (sequences.collect(), page.next)
    }

    /// How many receipts and batches a step removed.
    async fn remove(&self, before_s: u64) -> (u64, u64) {
        let removed = self.store.remove_receipts(before_s).await.unwrap();
        (removed.receipts, removed.batches)
    }

    async fn all(&self, owner: &str) -> Vec<u64> {
        self.page(owner, 0, 500).await.0
    }
}

#[tokio::test]
async fn an_owner_has_their_own_receipts_alone_in_full() {
    let vault = Vault::new().await;
    let (alice, bob) = (vault.alice.as_str(), vault.bob.as_str());
    let mut chain = Chain::new(1);
    let mixed = chain.batch(&[(alice, ONE), (bob, ONE), (alice, TWO)]);
    assert_eq!(vault.keep(&mixed.to_cbor()).await, "now");
    assert_eq!(vault.keep(&chain.of_one(bob, ONE, 2)).await, "now");
    assert_eq!(vault.all(alice).await, [1, 3]);
    assert_eq!(vault.all(bob).await, [2, 4, 5]);
    assert_eq!(vault.all("nobody").await, [0; 0]);

    let query = PageQuery {
        handle: Some(TWO.parse::<Handle>().unwrap()),
        after: 0,
        limit: 10,
    };
    let page = vault.store.receipts(alice, &query).await.unwrap();
    assert_eq!(page.receipts.len(), 1);
    assert_eq!(page.receipts[0].details.sequence, 3);
    assert_eq!((page.batches.len(), page.batches[0].digests.len()), (1, 3));
    let digests = mixed.receipts.iter().map(|receipt| Digest::of(receipt));
    assert_eq!(page.batches[0].digests, digests.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_comes_again_is_stored_once() {
    let vault = Vault::new().await;
    let batch = Chain::new(1).of_one(&vault.alice, ONE, 2);
    assert_eq!(vault.keep(&batch).await, "now");
    assert_eq!(vault.keep(&batch).await, "before");
    // Also when nothing more would be taken.
    assert_eq!(
        vault
            .keep_at(&batch, Room { bytes: 1, ..ROOM }, NOW_S)
            .await,
        "before"
    );
    assert_eq!(vault.all(&vault.alice).await, [1, 2]);
}

/// A host cannot change what it brought: neither a receipt, nor a batch's ends, nor what follows.
#[tokio::test]
async fn nothing_takes_the_place_of_what_is_stored() {
    let vault = Vault::new().await;
    let alice = vault.alice.as_str();
    let mut chain = Chain::new(1);
    let first = chain.of_one(alice, ONE, 3);
    let at_second = chain.clone();
    let second = chain.of_one(alice, ONE, 3);
    let third = chain.of_one(alice, ONE, 1);
    for batch in [&first, &third] {
        assert_eq!(vault.keep(batch).await, "now");
    }
    let forged = [
        ("another receipt", Chain::new(1).of_one(alice, TWO, 3)),
        ("fewer receipts", Chain::new(1).of_one(alice, ONE, 2)),
        ("an overlap", {
            let mut chain = Chain::new(1);
            chain.of_one(alice, ONE, 2);
            chain.of_one(alice, ONE, 2)
        }),
        (
            "another way to the third",
            at_second.clone().of_one(alice, TWO, 3),
        ),
        (
            "more than fits before the third",
            at_second.clone().of_one(alice, ONE, 4),
        ),
        ("from another first", {
            let mut chain = Chain::new(1);
            chain.of_one(alice, TWO, 3);
            chain.of_one(alice, ONE, 1)
        }),
        ("a head signed anew", {
            let (batch, mut head) = chained(
                &Chain::new(1),
                &[1, 2, 3].map(|n| receipt([1; 16].into(), n, alice, ONE)),
            );
            head.signed_ms += 1;
            let head = signed(&head);
            ReceiptBatch { head, ..batch }.to_cbor()
        }),
    ];
    for (what, batch) in forged {
        assert_eq!(vault.keep(&batch).await, "conflict", "{what}");
    }
    assert_eq!(vault.all(alice).await, [1, 2, 3, 7]);
    assert_eq!(vault.keep(&second).await, "now", "what is true still fits");
    let other_boot = Chain::new(2).of_one(alice, TWO, 3);
    assert_eq!(vault.keep(&other_boot).await, "now");
}

#[tokio::test]
async fn of_many_at_once_one_is_stored() {
    let vault = Vault::new().await;
    let alice = vault.alice.as_str();
    for boot in 1..20 {
        let boot = [boot, 100 + boot];
        let one = boot.map(|boot| Chain::new(boot).of_one(alice, ONE, 2));
        let other = boot.map(|boot| Chain::new(boot).of_one(alice, TWO, 2));
        let (a, b) = tokio::join!(vault.keep(&one[0]), vault.keep(&one[0]));
        assert!(matches!((a, b), ("now", "before") | ("before", "now")));
        let (a, b) = tokio::join!(vault.keep(&one[1]), vault.keep(&other[1]));
        assert!(matches!((a, b), ("now", "conflict") | ("conflict", "now")));
    }
    assert_eq!(vault.all(alice).await.len(), 19 * 4);
}

/// The attack, or a mishap: one receipt whose owner is not known here loses all others beside it.
#[tokio::test]
async fn an_unknown_owners_receipt_takes_no_other_with_it() {
    let vault = Vault::new().await;
    let alice = vault.alice.as_str();
    let mut chain = Chain::new(1);
    let batch = chain.batch(&[(alice, ONE), ("nobody", ONE), (alice, TWO)]);
    assert_eq!(vault.keep(&batch.to_cbor()).await, "in part");
    assert_eq!(vault.keep(&batch.to_cbor()).await, "before");
    assert_eq!(vault.all(alice).await, [1, 3]);
    assert_eq!(vault.all("nobody").await, [0; 0]);
    let query = PageQuery {
        handle: None,
        after: 0,
        limit: 10,
    };
    let page = vault.store.receipts(alice, &query).await.unwrap();
    assert_eq!(page.batches[0].digests.len(), 3, "the chain is whole");
    // The next goes on from there.
    assert_eq!(vault.keep(&chain.of_one(alice, ONE, 1)).await, "now");
    let of_nobody = chain.of_one("nobody", ONE, 2);
    assert_eq!(vault.keep(&of_nobody).await, "in part");
}
