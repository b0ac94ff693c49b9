//! What a relying party requires, refused and met.
use core::time::Duration;

use ciborium::Value;
use dauth_attestation::{
    AgeRule, AttestationResult, DebugMode, Error, Images, NonceRule, Policy, ReferenceValues,
    UserDataRule,
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
fn the_result_says_which_release_it_is() {
    let predecessor = release().with_pcr(2, &[1; 48]);
    let both = images(vec![predecessor, release()]).expect("accepted");
    assert_eq!(both.release(), Some(1));
    let any = judge(&anything()).expect("accepted");
    assert_eq!(any.release(), None);
}

#[test]
fn signer_role_and_instance_are_registers() {
    let mut forge = Forge::new();
    let wanted = ReferenceValues::new()
        .with_signer(b"certificate")
        .with_role_arn("arn:aws:iam::123456789012:role/Webserver")
        .with_instance_id("i-1234567890abcdef0");
    let policy = |release: &ReferenceValues| Policy {
        images: Images::AnyOf(vec![release.clone()]),
        ..anything()
    };
    // PCR3, PCR4 and PCR8 of a forged document are zero.
    let refused = forge.judge_at(NOW_MS, &policy(&wanted));
    assert_eq!(refused, Err(Error::UnknownImage(3)));
    for (index, value) in wanted.pcrs() {
        forge.pcrs()[usize::from(index)].1 = bytes(value);
    }
    assert!(forge.judge_at(NOW_MS, &policy(&wanted)).is_ok());
    for (other, index) in [
        (wanted.clone().with_signer(b"another"), 8),
        (wanted.clone().with_role_arn("arn:aws:iam::1:role/R"), 3),
        (wanted.with_instance_id("i-0"), 4),
    ] {
        let refused = forge.judge_at(NOW_MS, &policy(&other));
        assert_eq!(refused, Err(Error::UnknownImage(index)));
    }
}

#[test]
fn no_reference_value_accepts_nothing() {
    assert_eq!(images(vec![]).err(), Some(Error::NoReferenceValues));
    // An empty release would accept all: it is a mistake wherever it stands.
    for empty in [
        vec![ReferenceValues::new()],
        vec![ReferenceValues::new(), release()],
        vec![release(), ReferenceValues::new()],
    ] {
        assert_eq!(images(empty).err(), Some(Error::NoReferenceValues));
    }
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
fn a_document_serves_its_own_purpose_alone() {
    let tagged = [&b"evidence-v1:"[..], &[7; 48]].concat();
    let mut forge = Forge::new();
    let mut judge = |user_data: Option<&[u8]>, rule: UserDataRule| {
        forge.set("user_data", user_data.map_or(Value::Null, bytes));
        let policy = Policy {
            user_data: rule,
            ..anything()
        };
        forge.judge_at(NOW_MS, &policy).err()
    };
    let purpose = |tag: &[u8]| UserDataRule::Tagged(tag.to_vec());
    let equals = |user_data: &[u8]| UserDataRule::Equals(user_data.to_vec());
    assert_eq!(judge(Some(&tagged), UserDataRule::Any), None);
    assert_eq!(judge(Some(&tagged), purpose(b"evidence-v1:")), None);
    assert_eq!(judge(Some(&tagged), equals(&tagged)), None);
    for other in [&b"birth-v1:"[..], b"evidence-v1:\x07\x08", b"vidence"] {
        assert_eq!(judge(Some(&tagged), purpose(other)), Some(Error::Purpose));
    }
    let longer = [&tagged[..], b"x"].concat();
    for other in [&longer[..], &tagged[..59], b"x"] {
        assert_eq!(judge(Some(&tagged), equals(other)), Some(Error::UserData));
    }
    assert_eq!(judge(None, purpose(b"evidence-v1:")), Some(Error::Purpose));
    assert_eq!(judge(None, equals(&tagged)), Some(Error::UserData));
    // Whoever names nothing to expect expects nothing that can be checked.
    for rule in [purpose(b""), equals(b"")] {
        for user_data in [None, Some(&tagged[..])] {
            let refused = judge(user_data, rule.clone());
            assert_eq!(refused, Some(Error::NoExpectedUserData));
        }
    }
}

#[test]
fn a_result_endorses_what_is_in_it_alone() {
    let digest = [7; 48];
    let tagged = [&b"evidence-v1:"[..], &digest].concat();
    let mut forge = Forge::new();
    forge.set("user_data", bytes(&tagged));
    forge.set("public_key", bytes(b"key"));
    let result = forge.judge().expect("accepted");
    assert!(result.endorses_user_data(&tagged) && result.endorses_public_key(b"key"));
    assert!(!result.endorses_user_data(&tagged[..59]) && !result.endorses_public_key(b"ke"));
    assert_eq!(result.purpose_digest(b"evidence-v1:"), Some(&digest[..]));
    for tag in [&b""[..], b"evidence-v1", b"evidence-v1:\x07", b"birth-v1:"] {
        assert_eq!(result.purpose_digest(tag), None);
    }
    assert!(!result.debug_mode());

    let nothing = Forge::new().judge().expect("accepted");
    assert!(!nothing.endorses_user_data(b"") && !nothing.endorses_public_key(b""));
    assert_eq!(nothing.purpose_digest(b""), None);
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
