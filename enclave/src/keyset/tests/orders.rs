//! A keeper that is told to change the keyset, and one that does so by itself.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dauth_protocol::{
    deployment::Rotation,
    host::{KeyKind, KeysetChange, KeysetOrder, OrderResult},
};
use serde_json::json;

use super::{
    super::{Keeper, keeper::Watch, schedule::due},
    fleet::{Fleet, order},
    keeping::generation,
    kms::KmsFault,
    parent::ParentFault,
};

const WEEK_S: u64 = 7 * 24 * 3600;

fn change(from_generation: u64, kinds: impl Into<BTreeSet<KeyKind>>) -> KeysetOrder {
    KeysetOrder::Change(order(from_generation, kinds))
}

#[tokio::test]
async fn an_order_is_carried_out_once_and_its_outcome_told() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let mut watch = Watch::default();
    let first = keeper.current();
    fleet.parent.fail(ParentFault::TakesNoOutcome);
    fleet.parent.state().order = Some(change(1, [KeyKind::Record]));
    for _ in 0..3 {
        keeper.look(&mut watch).await;
    }
    assert_eq!(generation(&keeper), 2);
    assert_ne!(
        keeper.current().keyset().record_key().id(),
        first.keyset().record_key().id()
    );
    let outcomes = std::mem::take(&mut fleet.parent.state().outcomes);
    assert_eq!(outcomes.len(), 3, "told until it is taken");
    for outcome in outcomes {
        assert_eq!((outcome.result, outcome.generation), (OrderResult::Done, 2));
        assert_eq!(outcome.id, "order-1");
    }
    fleet.parent.fail(ParentFault::None);
    keeper.look(&mut watch).await;
    keeper.look(&mut watch).await;
    assert_eq!(fleet.parent.state().outcomes.len(), 1);

    // Another enclave of the fleet has it from another keeper's work.
    let other = fleet.keeper().await;
    fleet.parent.state().order = Some(change(1, [KeyKind::Record]));
    other.look(&mut Watch::default()).await;
    assert_eq!(generation(&other), 2);
    let outcome = fleet.parent.state().outcomes.pop().unwrap();
    assert_eq!((outcome.result, outcome.generation), (OrderResult::Done, 2));
}

#[tokio::test]
async fn an_order_that_fails_leaves_what_serves_and_says_why() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let serving = keeper.current();
    let mut watch = Watch::default();
    let malformed = KeysetChange {
        id: "../x".to_owned(),
        ..order(1, [])
    };
    let renamed = |id: &str| {
        KeysetOrder::Change(KeysetChange {
            id: id.to_owned(),
            ..order(1, [KeyKind::Record])
        })
    };
    for (kms, order, result) in [
        (
            KmsFault::NeverDecrypts,
            renamed("a"),
            OrderResult::KmsRefused,
        ),
        (KmsFault::Denies, renamed("b"), OrderResult::KmsRefused),
        (KmsFault::None, change(2, []), OrderResult::KeysetRefused),
        (
            KmsFault::None,
            KeysetOrder::Change(malformed),
            OrderResult::Malformed,
        ),
    ] {
        fleet.kms.fail(kms);
        fleet.parent.state().order = Some(order);
        keeper.look(&mut watch).await;
        let outcome = fleet.parent.state().outcomes.pop().unwrap();
        assert_eq!((outcome.result, outcome.generation), (result, 1));
        assert!(Arc::ptr_eq(&serving, &keeper.current()));
    }
    let events = fleet.events(&keeper, "keyset_change_refused").await;
    assert_eq!(events.len(), 4);
    assert_eq!(
        events[0],
        json!({"event": "keyset_change_refused", "result": "kms_refused"})
    );
    assert_eq!(fleet.load().await.unwrap().generation(), 1);
}

/// A parent that gives the same order again and again makes neither KMS nor the module work again.
#[tokio::test]
async fn an_order_that_failed_is_not_tried_again() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    fleet.kms.fail(KmsFault::Denies);
    fleet.parent.fail(ParentFault::TakesNoOutcome);
    fleet.parent.state().order = Some(change(1, [KeyKind::Record]));
    let asked = fleet.kms.asked();
    let mut watch = Watch::default();
    for _ in 0..3 {
        keeper.look(&mut watch).await;
    }
    assert_eq!(fleet.kms.asked(), asked + 1);
    assert_eq!(fleet.parent.state().outcomes.len(), 3);
    let events = fleet.events(&keeper, "keyset_change_refused").await;
    assert_eq!(events.len(), 1);
}

/// The answer to the PUT is lost, but not what was put.
#[tokio::test]
async fn what_was_stored_after_all_is_done() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    fleet.parent.fail(ParentFault::LosesAnswer);
    fleet.parent.state().order = Some(change(1, [KeyKind::Record]));
    keeper.look(&mut Watch::default()).await;
    assert_eq!(generation(&keeper), 2);
    let outcome = fleet.parent.state().outcomes.pop().unwrap();
    assert_eq!((outcome.result, outcome.generation), (OrderResult::Done, 2));
    assert_eq!(fleet.load().await.unwrap().generation(), 2);
}

#[tokio::test]
async fn what_another_enclave_has_carried_out_is_done() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let keyset = fleet.load().await.unwrap();
    fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
    let stored = fleet.parent.file();
    // The keeper reads before it obeys, so that it is done without another change.
    fleet.parent.state().order = Some(change(1, [KeyKind::Record]));
    keeper.look(&mut Watch::default()).await;
    assert_eq!(generation(&keeper), 2);
    assert_eq!(fleet.parent.file(), stored);
    let outcome = fleet.parent.state().outcomes.pop().unwrap();
    assert_eq!((outcome.result, outcome.generation), (OrderResult::Done, 2));
}

#[tokio::test]
async fn recipient_keys_are_due_by_their_own_age() {
    let fleet = Fleet::with_keyset().await;
    let keyset = fleet.load().await.unwrap();
    let rotation = Rotation {
        recipient_keys_s: 1000,
    };
    let made_ms = keyset.statement.recipients_made_ms;
    let is_due = |statement, at_ms| !due(statement, rotation, at_ms).is_empty();
    assert!(!is_due(&keyset.statement, made_ms + 999_999));
    assert!(is_due(&keyset.statement, made_ms + 1_000_000));
    assert!(!is_due(&keyset.statement, 0), "a clock set back");
    // Another change does not put it off.
    fleet.pass_s(900);
    let second = fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
    assert!(is_due(&second.statement, made_ms + 1_000_000));
    let third = fleet.change(&second, [KeyKind::Recipient]).await.unwrap();
    assert!(!is_due(&third.statement, made_ms + 1_000_000));
    assert_eq!(
        due(&second.statement, rotation, u64::MAX),
        [KeyKind::Recipient].into()
    );
}

#[tokio::test]
async fn a_fleet_renews_recipient_keys_each_week_without_an_order() {
    let fleet = Fleet::with_keyset().await;
    let keepers = [fleet.keeper().await, fleet.keeper().await];
    let mut watches = [Watch::default(), Watch::default()];
    let [a, b] = &mut watches;
    fleet.pass_s(WEEK_S - 1);
    tokio::join!(keepers[0].look(a), keepers[1].look(b));
    assert_eq!(keepers.each_ref().map(generation), [1, 1]);
    let first = keepers[0].current();
    fleet.pass_s(1);
    tokio::join!(keepers[0].look(a), keepers[1].look(b));
    assert_eq!(keepers.each_ref().map(generation), [2, 2]);
    tokio::join!(keepers[0].look(a), keepers[1].look(b));
    assert_eq!(keepers.each_ref().map(generation), [2, 2]);
    let [one, other] = keepers.each_ref().map(Keeper::current);
    assert_eq!(one.keyset().statement, other.keyset().statement);
    assert_eq!(
        one.keyset().record_key().id(),
        first.keyset().record_key().id()
    );
    assert_ne!(
        one.keyset().recipients()[0].id(),
        first.keyset().recipients()[0].id()
    );
}

/// What failed for one enclave, and another has done, does not put off what is due a week later.
#[tokio::test(start_paused = true)]
async fn failures_of_another_week_are_past() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let mut watch = Watch::default();
    let pass = tokio::time::advance;
    fleet.pass_s(WEEK_S);
    fleet.kms.fail(KmsFault::Denies);
    for _ in 0..10 {
        keeper.look(&mut watch).await;
        pass(Duration::from_secs(60)).await;
    }
    fleet.kms.fail(KmsFault::None);
    let keyset = fleet.load().await.unwrap();
    fleet.change(&keyset, [KeyKind::Recipient]).await.unwrap();
    keeper.look(&mut watch).await;
    assert_eq!(generation(&keeper), 2);

    fleet.pass_s(WEEK_S);
    fleet.kms.fail(KmsFault::Denies);
    keeper.look(&mut watch).await;
    fleet.kms.fail(KmsFault::None);
    pass(Duration::from_secs(1)).await;
    keeper.look(&mut watch).await;
    assert_eq!(generation(&keeper), 3);
}
