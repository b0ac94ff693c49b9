//! What attackers put in the place of a later generation.
use dauth_protocol::{Purpose, host::KeyKind};
use sha2::{Digest, Sha384};

use super::{super::KeysetError, File, fleet::Fleet, kms::KmsFault};
use crate::platform::{Attester, Claims};

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
