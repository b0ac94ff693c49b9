//! Changes that fail, and what attackers put in the place of a generation.
use dauth_protocol::{
    DeploymentConfiguration, Purpose,
    deployment::{Kms, Predecessor},
    host::{KeyKind, KeysetChange, OrderResult},
    limit::MAX_ENVELOPE_LIFE_S,
};
use sha2::{Digest, Sha384};

use super::{
    super::{Keyset, KeysetError, generation},
    File, IMAGE, OTHER_IMAGE, configuration,
    fleet::{Fleet, order},
    image,
    kms::KmsFault,
    parent::ParentFault,
};
use crate::platform::{Attester, Claims};

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
        super::super::create(&fresh.context(), fresh.now_ms() / 1000)
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

/// A generation 2 and what it replaced.
async fn two_generations() -> (Fleet, File, File) {
    let fleet = Fleet::with_keyset().await;
    let first = File::from_cbor(&fleet.parent.file()).unwrap();
    let keyset = fleet.load().await.unwrap();
    let all = [KeyKind::Recipient, KeyKind::Record, KeyKind::Receipt];
    fleet.pass_s(60);
    fleet.change(&keyset, all).await.unwrap();
    let second = File::from_cbor(&fleet.parent.file()).unwrap();
    (fleet, first, second)
}

async fn refusal(fleet: &Fleet, file: &File) -> KeysetError {
    fleet.parent.state().file = Some(file.to_cbor().unwrap());
    fleet.load().await.err().expect("a refusal")
}

#[tokio::test]
async fn no_part_of_one_generation_goes_with_another() {
    let (fleet, first, second) = two_generations().await;
    let copy = || File::from_cbor(&second.to_cbor().unwrap()).unwrap();

    let mut mixed = copy();
    (mixed.birth, mixed.created_ms) = (first.birth.clone(), first.created_ms);
    assert!(matches!(
        refusal(&fleet, &mixed).await,
        KeysetError::OtherBirth
    ));

    let mut mixed = copy();
    mixed.statement = first.statement.clone();
    assert!(matches!(
        refusal(&fleet, &mixed).await,
        KeysetError::OtherBirth
    ));

    let mut mixed = copy();
    mixed.wrapped_key = first.wrapped_key.clone();
    assert!(matches!(
        refusal(&fleet, &mixed).await,
        KeysetError::OtherWrappedKey
    ));

    let mut mixed = copy();
    (mixed.sealed, mixed.nonce) = (first.sealed.clone(), first.nonce);
    assert!(matches!(
        refusal(&fleet, &mixed).await,
        KeysetError::NotReleased
    ));

    // A document of this very image over this very statement, for another purpose.
    let digest = Sha384::digest(&second.statement);
    for purpose in [Purpose::Evidence, Purpose::KmsRecipient, Purpose::Time] {
        let claims = Claims {
            user_data: purpose.user_data(&digest),
            ..Claims::default()
        };
        let mut other = copy();
        other.birth = fleet.nsm().attest(&claims).unwrap().into();
        other.created_ms = fleet.now_ms();
        assert!(matches!(
            refusal(&fleet, &other).await,
            KeysetError::OtherPurpose
        ));
    }

    fleet.parent.state().file = Some(second.to_cbor().unwrap());
    assert_eq!(fleet.load().await.unwrap().generation(), 2);
}

/// Every hundredth bit of a generation that has former keys.
#[tokio::test]
async fn no_flipped_bit_of_a_later_generation_passes() {
    let (fleet, _, second) = two_generations().await;
    let bytes = second.to_cbor().unwrap();
    for bit in (0..bytes.len() * 8).step_by(101) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fleet.parent.state().file = Some(changed);
        assert!(fleet.load().await.is_err(), "bit {bit}");
    }
}

/// To whoever carries the bytes, a changed reply of KMS, another data key in it, and a changed
/// keyset are one: the same error, its same words, after the same requests.
#[tokio::test]
async fn forgeries_are_not_told_apart() {
    let fleet = Fleet::with_keyset().await;
    let mut changed = File::from_cbor(&fleet.parent.file()).unwrap();
    let middle = changed.sealed.len() / 2;
    changed.sealed[middle] ^= 1;
    let (file, changed) = (fleet.parent.file(), changed.to_cbor().unwrap());
    let mut seen = Vec::new();
    for (fault, file) in [
        (KmsFault::None, changed),
        (KmsFault::GivesOthers, file.clone()),
        (KmsFault::ChangedReplies, file),
    ] {
        fleet.kms.fail(fault);
        fleet.parent.state().file = Some(file);
        let before = (fleet.kms.asked(), fleet.parent.state().reads);
        let error = fleet.load().await.err().unwrap();
        let asked = fleet.kms.asked() - before.0;
        let reads = fleet.parent.state().reads - before.1;
        seen.push((error.to_string(), asked, reads));
    }
    assert!(
        seen[0]
            .0
            .starts_with("KMS released no data key that opens the keyset")
    );
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}
