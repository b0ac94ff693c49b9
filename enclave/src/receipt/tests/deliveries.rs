//! A parent that takes receipts late, twice, not at all, or for good.
use std::time::Duration;

use dauth_protocol::{audit::ReceiptBatch, host::KeyKind};
use tokio::time::Instant;

use super::*;

fn calls(books: &Books, count: usize) {
    for _ in 0..count {
        drop(account(&books.receipts, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_go_in_batches_and_none_twice() {
    let mut books = Books::new(Answer::Stores).await;
    calls(&books, 2 * MAX_BATCH_RECEIPTS + 5);
    let mut ordinals = Vec::new();
    for expected in [MAX_BATCH_RECEIPTS, MAX_BATCH_RECEIPTS, 5] {
        let receipts = books.receipts(expected).await;
        ordinals.extend(receipts.iter().map(|receipt| receipt.ordinal));
    }
    assert!(
        ordinals
            .into_iter()
            .eq(1..=2 * MAX_BATCH_RECEIPTS as u64 + 5)
    );
    let came = Instant::now();
    calls(&books, 1);
    books.receipts(1).await;
    assert!(came.elapsed() < Duration::from_secs(1), "it waits for few");
    books.stop().await;
    assert!(books.came().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_comes_again_before_anything_else() {
    for failure in [
        Answer::Status(500),
        Answer::Status(404),
        Answer::StoresAndFails,
        Answer::Hangs,
    ] {
        let mut books = Books::new(failure).await;
        calls(&books, 2);
        let first = books.batch().await;
        calls(&books, 3);
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(books.batch().await, first, "{failure:?}");
        }
        assert!(
            began.elapsed() >= Duration::from_secs(60),
            "it waits longer"
        );
        books.parent.will(Answer::Stores);
        assert_eq!(books.batch().await, first);
        assert_eq!(books.verified(&first).len(), 2);
        assert_eq!(books.receipts(3).await.len(), 3);
    }
}

/// The attack: the parent says of receipts that they are none, and an owner must see it.
#[tokio::test(start_paused = true)]
async fn what_is_refused_is_missing_in_its_place() {
    for (status, reason) in [
        (400, "malformed"),
        (413, "malformed"),
        (409, "other_stands"),
    ] {
        let mut books = Books::new(Answer::Status(status)).await;
        calls(&books, 2);
        let refused = books.batch().await;
        let event = books.event().await;
        assert_eq!(event["event"], "receipts_refused");
        assert_eq!(event["reason"], reason);
        assert_eq!((&event["first"], &event["count"]), (&1.into(), &2.into()));
        books.parent.will(Answer::Stores);
        calls(&books, 1);
        let next = books.batch().await;
        assert_ne!(next, refused);
        // The chain goes over what was refused: without it the next batch does not follow.
        books.verified(&refused);
        let receipts = books.verified(&next);
        assert_eq!((receipts[0].sequence, receipts[0].ordinal), (3, 3));
    }
}

/// The attack: a parent that takes nothing. Calls go on, memory is bounded, and the loss shows.
#[tokio::test(start_paused = true)]
async fn a_parent_that_hangs_loses_receipts_and_blocks_nothing() {
    let mut books = Books::with_room(Answer::Hangs, 32).await;
    calls(&books, 1);
    let first = books.batch().await;
    let began = Instant::now();
    // Four wait, three are lost.
    calls(&books, 7);
    assert_eq!(began.elapsed(), Duration::ZERO);
    books.parent.will(Answer::Stores);
    assert_eq!(books.batch().await, first);
    books.verified(&first);
    let waited = books.receipts(4).await;
    calls(&books, 1);
    let after = books.receipts(1).await;
    let ordinals = waited.iter().chain(&after).map(|receipt| receipt.ordinal);
    assert_eq!(ordinals.collect::<Vec<_>>(), [2, 3, 4, 5, 9]);
    let event = books.event().await;
    assert_eq!(event["event"], "receipts_lost");
    assert_eq!(event["total"], 3);
}

/// The control plane may be away for hours: the operator is told before it is back.
#[tokio::test(start_paused = true)]
async fn a_loss_is_told_while_nothing_is_stored() {
    let mut books = Books::with_room(Answer::Status(502), 32).await;
    calls(&books, 1);
    books.batch().await;
    calls(&books, 7);
    let event = tokio::time::timeout(Duration::from_secs(60), books.event()).await;
    let event = event.expect("it is told");
    assert_eq!(event["event"], "receipts_lost");
    assert_eq!(event["total"], 3);
    // Once for each number.
    for _ in 0..3 {
        books.batch().await;
    }
    books.parent.will(Answer::Stores);
    calls(&books, 1);
    let event = books.event().await;
    assert_eq!(event["total"], 4, "{event}");
}

/// The attack: one owner's calls without end, so that others' receipts find no room.
#[tokio::test(start_paused = true)]
async fn an_owner_who_calls_without_end_loses_nobody_elses_receipts() {
    let mut books = Books::with_room(Answer::Hangs, 32).await;
    calls(&books, 1);
    let first = books.batch().await;
    calls(&books, 100);
    for number in 0..7 {
        for _ in 0..4 {
            let mut subject = subject(2, &Method::GET);
            subject.owner.subject = format!("other-{number}");
            drop(books.receipts.open(subject, Arrival::now()).unwrap());
        }
    }
    books.parent.will(Answer::Stores);
    assert_eq!(books.batch().await, first);
    books.verified(&first);
    let waited = books.receipts(32).await;
    let of_others = |receipt: &&CallReceipt| receipt.owner != "sub-1";
    assert_eq!(waited.iter().filter(of_others).count(), 28);
    assert_eq!(books.receipts.ledger.lost(), 96, "the flood's own");
    // And all have their share again.
    calls(&books, 4);
    books.receipts(4).await;
    assert_eq!(books.receipts.ledger.lost(), 96);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_handed_over_when_the_enclave_stops() {
    let mut books = Books::new(Answer::Stores).await;
    let count = MAX_BATCH_RECEIPTS + 1;
    calls(&books, count);
    let began = Instant::now();
    books.stop().await;
    assert!(began.elapsed() < Duration::from_millis(50), "no lingering");
    assert_eq!(books.receipts(count).await.len(), count);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_cut_off_leave_theirs_and_hold_up_no_stop() {
    let mut books = Books::new(Answer::Stores).await;
    let hangs = account(&books.receipts, 1);
    let ends = account(&books.receipts, 2);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(ends);
    });
    let began = Instant::now();
    books.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let receipt = books.receipts(1).await.remove(0);
    assert_eq!(receipt.handle.as_str(), "ddls:conn:2");
    drop(hangs);
    assert_eq!(books.receipts.ledger.lost(), 1, "too late");
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_hangs_holds_up_no_stop() {
    for answer in [Answer::Hangs, Answer::Status(503)] {
        let mut books = Books::new(answer).await;
        calls(&books, 1);
        books.batch().await;
        let began = Instant::now();
        books.stop().await;
        assert!(began.elapsed() <= Duration::from_secs(5), "{answer:?}");
    }
}

/// A parent that comes back while the enclave stops still gets what waits.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_out_a_long_pause() {
    let mut books = Books::new(Answer::Status(503)).await;
    calls(&books, 1);
    for _ in 0..12 {
        books.batch().await;
    }
    books.parent.will(Answer::Stores);
    calls(&books, 1);
    books.stop().await;
    let mut last = None;
    while let Some(batch) = books.came() {
        last = Some(batch);
    }
    let last = ReceiptBatch::from_cbor(&last.unwrap()).unwrap();
    let receipt = CallReceipt::from_cbor(&last.receipts[0]).unwrap();
    assert_eq!(receipt.ordinal, 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_receipt_key_signs_from_then_on() {
    let mut books = Books::new(Answer::Stores).await;
    calls(&books, 1);
    let before = books.receipts(1).await.remove(0);
    let keyset = books.fleet.load().await.unwrap();
    let changed = books.fleet.change(&keyset, [KeyKind::Receipt]).await;
    changed.unwrap();
    books.keeper.refresh().await;
    assert_eq!(books.keeper.current().keyset().generation(), 2);
    calls(&books, 1);
    // Verified with the key of now, in the same chain.
    let after = books.receipts(1).await.remove(0);
    assert_eq!((after.boot, after.sequence), (before.boot, 2));
}
