//! A keeper before a parent that offers and fails as it likes.
use std::{sync::Arc, time::Duration};

use dauth_protocol::{KeyConfiguration, host::KeyKind};
use serde_json::json;
use tokio::time::Instant;

use super::{
    super::{Keeper, create, keeper::Watch},
    all_kinds,
    fleet::Fleet,
    kms::KmsFault,
    parent::ParentFault,
};

pub(super) fn generation(keeper: &Keeper) -> u64 {
    keeper.current().keyset().generation()
}

async fn reasons(fleet: &Fleet, keeper: &Keeper) -> Vec<serde_json::Value> {
    let events = fleet.events(keeper, "keyset_refused").await;
    events.iter().map(|event| event["reason"].clone()).collect()
}

#[tokio::test]
async fn a_later_generation_of_another_enclave_is_taken_over() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let before = keeper.current();
    let changed = fleet.change(before.keyset(), all_kinds()).await.unwrap();
    keeper.look(&mut Watch::default()).await;
    let after = keeper.current();
    assert_eq!(after.keyset().statement, changed.statement);
    // A call under way has what it began with.
    assert_eq!(before.keyset().generation(), 1);
    assert!(!Arc::ptr_eq(&before, &after));
    let events = fleet.events(&keeper, "keyset_changed").await;
    assert_eq!(
        events,
        [json!({"event": "keyset_changed", "generation": 2})]
    );

    let configuration = KeyConfiguration::from_cbor(after.key_configuration()).unwrap();
    assert_eq!(configuration.generation, 2);
    assert_eq!(configuration.receipt_key, changed.receipt_key().spki());
    assert_eq!(
        configuration.former_receipt_keys,
        [before.keyset().receipt_key().spki()]
    );
    let advertised: Vec<_> = changed
        .recipients()
        .iter()
        .map(|key| key.public())
        .collect();
    assert_eq!(configuration.recipients, advertised);
}

#[tokio::test]
async fn an_older_generation_is_refused_and_told_once() {
    let fleet = Fleet::with_keyset().await;
    let old = fleet.parent.file();
    let keyset = fleet.load().await.unwrap();
    fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
    let newer = fleet.parent.file();
    let keeper = fleet.keeper().await;
    let serving = keeper.current();

    fleet.parent.state().file = Some(old.clone());
    let asked = fleet.kms.asked();
    let mut watch = Watch::default();
    for _ in 0..3 {
        keeper.look(&mut watch).await;
        keeper.refresh().await;
    }
    assert!(Arc::ptr_eq(&serving, &keeper.current()));
    assert_eq!(reasons(&fleet, &keeper).await, ["not_later"]);
    assert_eq!(fleet.kms.asked(), asked, "KMS is not asked about it");

    // The file comes back, and is lost again: told again.
    fleet.parent.state().file = Some(newer);
    keeper.look(&mut watch).await;
    fleet.parent.state().file = Some(old);
    keeper.look(&mut watch).await;
    assert_eq!(reasons(&fleet, &keeper).await.len(), 2);
}

/// The same image, deployment and KMS key, and a genuine birth: but another keyset.
#[tokio::test]
async fn another_keyset_is_refused_whatever_its_generation() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let other = fleet.elsewhere();
    create(&other.context(), other.now_ms() / 1000)
        .await
        .unwrap();
    let mut foreign = other.load().await.unwrap();
    for _ in 0..3 {
        foreign = other.change(&foreign, []).await.unwrap();
    }
    let serving = keeper.current();
    assert_ne!(foreign.id(), serving.keyset().id());
    fleet.parent.state().file = Some(other.parent.file());
    let asked = fleet.kms.asked();
    keeper.look(&mut Watch::default()).await;
    assert!(Arc::ptr_eq(&serving, &keeper.current()));
    assert_eq!(reasons(&fleet, &keeper).await, ["other_keyset"]);
    assert_eq!(fleet.kms.asked(), asked);
}

#[tokio::test]
async fn what_the_parent_or_kms_do_wrong_disturbs_nothing() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let serving = keeper.current();
    let file = fleet.parent.file();
    fleet
        .change(serving.keyset(), [KeyKind::Recipient])
        .await
        .unwrap();
    let next = fleet.parent.file();
    let mut watch = Watch::default();
    for fault in [
        ParentFault::Fails,
        ParentFault::Serves(Vec::new()),
        ParentFault::Serves(b"garbage".to_vec()),
        ParentFault::Serves(vec![0xff; 1 << 20]),
        ParentFault::Serves(file),
    ] {
        fleet.parent.fail(fault);
        keeper.look(&mut watch).await;
        keeper.refresh().await;
        assert!(Arc::ptr_eq(&serving, &keeper.current()));
    }
    fleet.parent.fail(ParentFault::None);
    fleet.parent.state().file = None;
    keeper.look(&mut watch).await;
    keeper.look(&mut watch).await;
    assert!(Arc::ptr_eq(&serving, &keeper.current()));
    assert_eq!(
        reasons(&fleet, &keeper).await,
        ["malformed", "malformed", "missing"]
    );

    fleet.parent.state().file = Some(next);
    fleet.kms.fail(KmsFault::Denies);
    keeper.look(&mut watch).await;
    assert!(Arc::ptr_eq(&serving, &keeper.current()));
    assert_eq!(reasons(&fleet, &keeper).await[3..], ["not_released"]);
}

/// KMS fails for a while: it is asked less and less often, and the generation is taken over in the
/// end.
#[tokio::test(start_paused = true)]
async fn what_kms_does_not_release_yet_is_tried_again() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let keyset = fleet.load().await.unwrap();
    fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
    fleet.kms.fail(KmsFault::ChangedReplies);
    let asked = fleet.kms.asked();
    let mut watch = Watch::default();
    for _ in 0..60 {
        keeper.look(&mut watch).await;
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    let tries = fleet.kms.asked() - asked;
    assert!((2..=8).contains(&tries), "{tries} in a minute");
    assert_eq!(reasons(&fleet, &keeper).await, ["not_released"]);
    fleet.kms.fail(KmsFault::None);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    keeper.look(&mut watch).await;
    assert_eq!(generation(&keeper), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_miss_a_key_share_the_asking() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    fleet
        .change(keeper.current().keyset(), [KeyKind::Record])
        .await
        .unwrap();
    let reads = || fleet.parent.state().reads;
    let before = reads();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let keeper = keeper.clone();
            tokio::spawn(async move { keeper.refresh().await.keyset().generation() })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 2, "each of them has the answer");
    }
    assert!(
        reads() <= before + 2,
        "one under way, and one for all who asked meanwhile"
    );
    let (answered, before) = (Instant::now(), reads());
    for _ in 0..5 {
        keeper.refresh().await;
    }
    assert_eq!(reads(), before + 5);
    assert!(
        answered.elapsed() >= Duration::from_secs(1),
        "five times a second"
    );
}

/// Another enclave changes the keyset just after this one has looked.
#[tokio::test(start_paused = true)]
async fn a_call_that_misses_a_key_is_not_answered_by_what_was_read_before() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    keeper.look(&mut Watch::default()).await;
    fleet
        .change(keeper.current().keyset(), [KeyKind::Record])
        .await
        .unwrap();
    assert_eq!(keeper.refresh().await.keyset().generation(), 2);
}
