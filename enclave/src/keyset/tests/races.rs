//! Enclaves of one fleet that do the same at once.
use dauth_protocol::host::KeyKind;

use super::{
    super::{KeysetError, create},
    fleet::Fleet,
    parent::ParentFault,
};

#[tokio::test]
async fn of_enclaves_that_create_at_once_one_keyset_comes() {
    let fleet = Fleet::new();
    let contexts = [fleet.context(), fleet.context(), fleet.context()];
    let [a, b, c] = &contexts;
    let now_s = fleet.now_ms() / 1000;
    let results: [_; 3] = tokio::join!(create(a, now_s), create(b, now_s), create(c, now_s)).into();
    let winners = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1);
    let losers = results
        .iter()
        .filter(|r| matches!(r, Err(KeysetError::AlreadyThere)));
    assert_eq!(losers.count(), 2);
    let loaded = [fleet.load().await.unwrap(), fleet.load().await.unwrap()];
    assert_eq!(loaded[0].id(), loaded[1].id());
    assert_eq!(loaded[0].generation(), 1);
}

#[tokio::test]
async fn creation_never_replaces_and_never_forks() {
    let fleet = Fleet::with_keyset().await;
    let file = fleet.parent.file();
    let now_s = fleet.now_ms() / 1000;
    let again = create(&fleet.context(), now_s).await;
    assert!(matches!(again, Err(KeysetError::AlreadyThere)));
    assert_eq!(fleet.parent.file(), file);

    // A parent that says it stored: what it serves then is for `load` to verify.
    let fresh = fleet.elsewhere();
    fresh
        .parent
        .fail(ParentFault::StoresInstead(b"garbage".to_vec()));
    let lost = create(&fresh.context(), now_s).await;
    assert!(matches!(lost, Err(KeysetError::AlreadyThere)));
    assert!(matches!(
        fresh.load().await.err(),
        Some(KeysetError::Malformed)
    ));

    let fresh = fleet.elsewhere();
    fresh.parent.fail(ParentFault::Forgets);
    let lost = create(&fresh.context(), now_s).await;
    assert!(matches!(lost, Err(KeysetError::NotStored)));
}

#[tokio::test]
async fn of_enclaves_that_change_at_once_one_generation_comes() {
    let fleet = Fleet::with_keyset().await;
    let keysets = [fleet.load().await.unwrap(), fleet.load().await.unwrap()];
    let (a, b) = tokio::join!(
        fleet.change(&keysets[0], [KeyKind::Recipient]),
        fleet.change(&keysets[1], [KeyKind::Recipient]),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.generation(), b.generation()), (2, 2));
    assert_eq!(a.statement, b.statement);
    assert_eq!(a.tag(), b.tag());
    assert_eq!(fleet.load().await.unwrap().statement, a.statement);
}

/// One that slept through a change takes the change over instead of undoing it.
#[tokio::test]
async fn who_comes_late_to_a_change_takes_over_what_stands() {
    let fleet = Fleet::with_keyset().await;
    let late = fleet.load().await.unwrap();
    let first = fleet.load().await.unwrap();
    let second = fleet.change(&first, [KeyKind::Record]).await.unwrap();
    let third = fleet.change(&second, [KeyKind::Record]).await.unwrap();
    let taken = fleet.change(&late, [KeyKind::Receipt]).await.unwrap();
    assert_eq!(taken.statement, third.statement);
}

/// Verifying takes as long as KMS does: what was read first may be ready last.
#[tokio::test]
async fn a_generation_that_is_verified_late_replaces_no_later_one() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let first = fleet.load().await.unwrap();
    let second = fleet.change(&first, [KeyKind::Record]).await.unwrap();
    let third = fleet.change(&second, [KeyKind::Record]).await.unwrap();
    keeper.adopt(third);
    keeper.adopt(second);
    assert_eq!(keeper.current().keyset().generation(), 3);
    assert_eq!(fleet.events(&keeper, "keyset_changed").await.len(), 1);
}

/// The birth document is dated when KMS has answered, and another's may be later still.
#[tokio::test(start_paused = true)]
async fn a_kms_that_takes_its_time_delays_and_spoils_nothing() {
    let fleet = Fleet::new();
    fleet.kms.slow_down(fleet.nsm());
    let context = fleet.context();
    create(&context, fleet.now_ms() / 1000).await.unwrap();
    let keysets = [fleet.load().await.unwrap(), fleet.load().await.unwrap()];
    let (a, b) = tokio::join!(
        fleet.change(&keysets[0], [KeyKind::Recipient]),
        fleet.change(&keysets[1], [KeyKind::Recipient]),
    );
    assert_eq!(a.unwrap().statement, b.unwrap().statement);
}
