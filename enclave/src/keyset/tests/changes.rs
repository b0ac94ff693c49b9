//! Changes that succeed and changes that fail.
use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{Kms, Predecessor},
    host::{KeyKind, KeysetChange, OrderResult},
    limit::MAX_ENVELOPE_LIFE_S,
};

use super::{
    super::{Keyset, KeysetError, create, generation},
    IMAGE, OTHER_IMAGE, configuration,
    fleet::{Fleet, order},
    image,
    kms::KmsFault,
    parent::ParentFault,
};
use crate::clock::MAX_DIFFERENCE_S;

fn kms_key(name: &str) -> Kms {
    Kms {
        key_arn: format!("arn:aws:kms:eu-west-1:0:key/{name}"),
        ..configuration().kms
    }
}

/// Loads with a configuration, as the image that it names.
async fn load_as(
    fleet: &Fleet,
    running: Predecessor,
    configuration: DeploymentConfiguration,
) -> Result<Keyset, KeysetError> {
    let context = fleet.context_of(running, configuration);
    generation::load_at(&context, fleet.now_ms()).await
}

#[tokio::test]
async fn a_keyset_moves_to_another_kms_key_and_then_needs_the_old_one_no_more() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    // A configuration that names another key is another PCR16.
    let moving = DeploymentConfiguration {
        kms: kms_key("two"),
        former_kms: vec![kms_key("one")],
        predecessors: vec![image(IMAGE)],
        ..configuration()
    };
    let moved = DeploymentConfiguration {
        former_kms: Vec::new(),
        ..moving.clone()
    };
    let running = image(OTHER_IMAGE);
    let refused = load_as(&fleet, running.clone(), moved.clone()).await;
    assert!(matches!(refused.err(), Some(KeysetError::OtherDeployment)));

    let context = fleet.context_of(running.clone(), moving.clone());
    let loaded = generation::load_at(&context, fleet.now_ms()).await.unwrap();
    let order = order(1, []);
    let second = generation::change(&context, &loaded, &order, fleet.now_ms()).await;
    assert_eq!(second.unwrap().generation(), 2);
    for configuration in [moving, moved] {
        let keyset = load_as(&fleet, running.clone(), configuration)
            .await
            .unwrap();
        assert_eq!(keyset.statement.key_arn, kms_key("two").key_arn);
        assert_eq!(keyset.record_key().id(), first.record_key().id());
    }
    // Who has the old configuration alone has no business with it any more.
    assert!(matches!(
        fleet.load().await.err(),
        Some(KeysetError::OtherImage)
    ));
}

#[tokio::test]
async fn the_next_image_takes_the_keyset_over_and_endorses_it_itself() {
    let fleet = Fleet::with_keyset().await;
    let (old, new) = (image(IMAGE), image(OTHER_IMAGE));
    let upgrading = DeploymentConfiguration {
        predecessors: vec![old],
        ..configuration()
    };
    let context = fleet.context_of(new.clone(), upgrading);
    let loaded = generation::load_at(&context, fleet.now_ms()).await.unwrap();
    let all = [KeyKind::Recipient, KeyKind::Record, KeyKind::Receipt];
    let order = order(1, all);
    let second = generation::change(&context, &loaded, &order, fleet.now_ms()).await;
    second.unwrap();
    // The predecessor is needed no more, and cannot come back.
    load_as(&fleet, new, configuration()).await.unwrap();
    assert!(matches!(
        fleet.load().await.err(),
        Some(KeysetError::OtherImage)
    ));
}

/// KMS makes a data key that it would not release again, as under a key policy that names this
/// image for `GenerateDataKey` alone: the file would never open.
#[tokio::test]
async fn what_kms_would_not_release_again_is_not_stored() {
    for fault in [
        KmsFault::Denies,
        KmsFault::NeverDecrypts,
        KmsFault::GivesOthers,
        KmsFault::ChangedReplies,
    ] {
        let fleet = Fleet::with_keyset().await;
        let keyset = fleet.load().await.unwrap();
        let (file, puts) = (fleet.parent.file(), fleet.parent.state().puts);
        fleet.kms.fail(fault);
        let changed = fleet.change(&keyset, [KeyKind::Recipient]).await;
        assert_eq!(changed.err(), Some(OrderResult::KmsRefused));
        assert_eq!(fleet.parent.file(), file);
        assert_eq!(fleet.parent.state().puts, puts, "nothing was to be stored");

        let fresh = fleet.elsewhere();
        create(&fresh.context(), fresh.now_ms() / 1000)
            .await
            .unwrap_err();
        assert_eq!(fresh.parent.state().puts, 0);

        fleet.kms.fail(KmsFault::None);
        fleet.change(&keyset, [KeyKind::Recipient]).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_parent_does_not_store_is_not_done() {
    let foreign = {
        let elsewhere = Fleet::with_keyset().await;
        elsewhere.parent.file()
    };
    let fleet = Fleet::with_keyset().await;
    let keyset = fleet.load().await.unwrap();
    let file = fleet.parent.file();
    for (fault, result) in [
        (ParentFault::Fails, OrderResult::NotStored),
        (ParentFault::Forgets, OrderResult::NotStored),
        (
            ParentFault::Serves(b"garbage".to_vec()),
            OrderResult::NotStored,
        ),
        (ParentFault::StoresInstead(foreign), OrderResult::NotStored),
        (
            ParentFault::StoresInstead(file.clone()),
            OrderResult::NotStored,
        ),
        // Another is said to stand there, and it is the one that was to be changed.
        (ParentFault::AlwaysTaken, OrderResult::KeysetRefused),
    ] {
        fleet.parent.state().file = Some(file.clone());
        fleet.parent.fail(fault);
        let changed = fleet.change(&keyset, [KeyKind::Record]).await;
        assert_eq!(changed.err(), Some(result));
    }
    fleet.parent.fail(ParentFault::None);
    fleet.parent.state().file = Some(file);
    fleet.change(&keyset, [KeyKind::Record]).await.unwrap();
}

#[tokio::test]
async fn more_changes_than_keys_are_kept_for_wait_their_time() {
    let fleet = Fleet::with_keyset().await;
    let mut keyset = fleet.load().await.unwrap();
    for _ in 0..16 {
        keyset = fleet.change(&keyset, [KeyKind::Recipient]).await.unwrap();
    }
    let refused = fleet.change(&keyset, [KeyKind::Recipient]).await;
    assert_eq!(refused.err(), Some(OrderResult::NotMade));
    assert_eq!(
        fleet.load().await.unwrap().generation(),
        keyset.generation()
    );
    fleet.pass_s(2 * MAX_ENVELOPE_LIFE_S);
    fleet.change(&keyset, [KeyKind::Recipient]).await.unwrap();
}

#[tokio::test]
async fn an_order_has_a_plain_id() {
    let fleet = Fleet::with_keyset().await;
    let keyset = fleet.load().await.unwrap();
    for id in ["", "../keyset", "a b", "ä", &"x".repeat(65)] {
        let order = KeysetChange {
            id: id.to_owned(),
            ..order(1, [])
        };
        let context = fleet.context();
        let changed = generation::change(&context, &keyset, &order, fleet.now_ms()).await;
        assert_eq!(changed.err(), Some(OrderResult::Malformed), "{id:?}");
    }
    assert_eq!(fleet.load().await.unwrap().generation(), 1);
}

/// A clock that is as far behind the module as an enclave may serve with: what the module dates just
/// now is from the future by it.
#[tokio::test]
async fn a_clock_that_is_behind_the_module_keeps_nobody_from_a_change() {
    let fleet = Fleet::new();
    let behind_ms = || fleet.now_ms() - MAX_DIFFERENCE_S * 1000;
    let context = fleet.context();
    create(&context, behind_ms() / 1000).await.unwrap();
    let first = generation::load_at(&context, behind_ms()).await.unwrap();
    let order = order(1, [KeyKind::Recipient]);
    let second = generation::change(&context, &first, &order, behind_ms()).await;
    assert_eq!(second.unwrap().generation(), 2);
    // Another enclave of the fleet takes it over at once.
    generation::load_at(&context, behind_ms()).await.unwrap();
}

/// The attack: an old file is put back, and changed until its number is as high as what was seen.
#[tokio::test]
async fn a_generation_names_those_that_it_came_of() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let old = fleet.parent.file();
    let second = fleet.change(&first, [KeyKind::Record]).await.unwrap();
    let third = fleet.change(&second, []).await.unwrap();
    let digests = |keyset: &Keyset| keyset.history().collect::<Vec<_>>();
    assert_eq!(digests(&third).len(), 3);
    assert_eq!(digests(&third)[1..], digests(&second));
    assert_eq!(digests(&second)[1..], digests(&first));
    first.is_followed_by(&third).unwrap();
    let loaded = fleet.load().await.unwrap();
    assert_eq!(
        digests(&loaded),
        digests(&third),
        "each enclave says the same"
    );

    fleet.parent.state().file = Some(old);
    let mut forked = fleet.load().await.unwrap();
    for _ in 0..3 {
        forked = fleet.change(&forked, []).await.unwrap();
    }
    assert_eq!(forked.generation(), 4);
    assert_eq!(digests(&forked).last(), digests(&third).last());
    for seen in [&second, &third] {
        let refused = seen.is_followed_by(&forked).err();
        assert!(matches!(refused, Some(KeysetError::OtherHistory)));
    }
    first.is_followed_by(&forked).unwrap();
}
