//! What a relying party requires, refused and met.
use core::time::Duration;

use dauth_attestation::{
    AgeRule, AttestationResult, DebugMode, Error, Images, NonceRule, Policy, ReferenceValues,
};

use crate::forge::{Forge, NOW_MS, anything, bytes};

fn judge(policy: &Policy) -> Result<AttestationResult, Error> {
    let mut forge = Forge::new();
    forge.set("nonce", bytes(b"challenge"));
    forge.judge_at(NOW_MS, policy)
}

fn release() -> ReferenceValues {
    ReferenceValues::new()
        .with_pcr(0, &[0x5a; 48])
        .with_pcr(1, &[0x5a; 48])
        .with_pcr(2, &[0x5a; 48])
}

fn images(releases: Vec<ReferenceValues>) -> Result<AttestationResult, Error> {
    judge(&Policy {
        images: Images::AnyOf(releases),
        ..anything()
    })
}

#[test]
fn an_image_is_one_of_those_accepted() {
    assert!(images(vec![release()]).is_ok());
    let predecessor = release().with_pcr(2, &[1; 48]);
    assert!(images(vec![predecessor.clone(), release()]).is_ok());
    assert_eq!(
        images(vec![predecessor]).err(),
        Some(Error::UnknownImage(2))
    );
    // Not locked, so not in the document.
    let deployment = release().with_pcr(16, &[0; 48]);
    assert_eq!(
        images(vec![deployment]).err(),
        Some(Error::UnknownImage(16))
    );
    for value in [&[0x5a; 47][..], &[0x5a; 32], &[]] {
        let short = ReferenceValues::new().with_pcr(0, value);
        assert_eq!(images(vec![short]).err(), Some(Error::UnknownImage(0)));
    }
    let no_register = release().with_pcr(u16::MAX, &[0x5a; 48]);
    assert_eq!(
        images(vec![no_register]).err(),
        Some(Error::UnknownImage(u16::MAX))
    );
}

#[test]
fn no_reference_value_accepts_nothing() {
    assert_eq!(images(vec![]).err(), Some(Error::NoReferenceValues));
    let empty = vec![ReferenceValues::new()];
    assert_eq!(images(empty).err(), Some(Error::NoReferenceValues));
}

#[test]
fn the_nonce_is_the_one_expected() {
    let nonce = |rule| {
        judge(&Policy {
            nonce: rule,
            ..anything()
        })
        .err()
    };
    assert_eq!(nonce(NonceRule::Any), None);
    assert_eq!(nonce(NonceRule::Equals(b"challenge".to_vec())), None);
    assert_eq!(
        nonce(NonceRule::Equals(b"challenge2".to_vec())),
        Some(Error::Nonce)
    );
    assert_eq!(
        nonce(NonceRule::Equals(b"challeng".to_vec())),
        Some(Error::Nonce)
    );
    assert_eq!(
        nonce(NonceRule::Equals(vec![])),
        Some(Error::NoExpectedNonce)
    );

    let expect = Policy {
        nonce: NonceRule::Equals(b"n".to_vec()),
        ..anything()
    };
    let absent = Forge::new();
    assert_eq!(absent.judge_at(NOW_MS, &expect), Err(Error::Nonce));
    // The default names no nonce: whoever forgets to set one is refused everything.
    let default = Policy::new(Images::AnyOf(vec![release()]));
    assert_eq!(
        absent.judge_at(NOW_MS, &default),
        Err(Error::NoExpectedNonce)
    );
}

#[test]
fn a_document_is_neither_too_old_nor_from_the_future() {
    let policy = Policy {
        age: AgeRule::AtMost(Duration::from_secs(60)),
        leeway: Duration::from_secs(2),
        ..anything()
    };
    let mut forge = Forge::new();
    let mut made = |at_ms: u64| {
        forge.set("timestamp", at_ms);
        forge.judge_at(NOW_MS, &policy).err()
    };
    assert_eq!(made(NOW_MS), None);
    assert_eq!(made(NOW_MS - 60_000), None);
    assert_eq!(
        made(NOW_MS - 60_001),
        Some(Error::TooOld { age_ms: 60_001 })
    );
    assert_eq!(made(NOW_MS + 2_000), None);
    assert_eq!(
        made(NOW_MS + 2_001),
        Some(Error::FromTheFuture { ahead_ms: 2_001 })
    );
    let ahead_ms = u64::MAX - NOW_MS;
    assert_eq!(made(u64::MAX), Some(Error::FromTheFuture { ahead_ms }));
}

#[test]
fn any_zero_of_the_boot_image_is_debug_mode() {
    for index in 0..3 {
        let mut forge = Forge::new();
        forge.pcrs()[usize::from(index)].1 = bytes(&[0; 48]);
        assert_eq!(forge.judge(), Err(Error::DebugMode(index)));
        let allow = Policy {
            debug_mode: DebugMode::Allow,
            ..anything()
        };
        assert!(forge.judge_at(NOW_MS, &allow).is_ok());
    }
    // PCR3 to PCR15 of the forged document are zero: no role, no signed image.
    assert!(Forge::new().judge().is_ok());
}

#[test]
fn claims_are_judged_after_the_signature() {
    let mut debug = Forge::new();
    debug.pcrs()[0].1 = bytes(&[0; 48]);
    debug.anchors = Forge::new().anchors;
    assert_eq!(debug.judge(), Err(Error::CertificateSignature));
}
