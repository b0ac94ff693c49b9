//! What the relying party requires, not met.
use super::{Case, accepted::image, reject};
use crate::{
    cbor::Cbor,
    forge::{AT_MS, MADE_MS},
    manifest::UserData,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = debug_mode();
    cases.extend(images());
    cases.extend(freshness());
    cases.extend(user_data());
    cases
}

fn debug_mode() -> Vec<Case> {
    const ERROR: &str = "DebugMode";
    vec![
        reject("pcr0_zero", ERROR, "PCR0 of zeros: debug mode", |f| {
            f.pcrs()[0].1 = Cbor::bytes(&[0; 48]);
        }),
        reject("pcr1_zero", ERROR, "PCR1 of zeros: debug mode", |f| {
            f.pcrs()[1].1 = Cbor::bytes(&[0; 48]);
        }),
        reject("pcr2_zero", ERROR, "PCR2 of zeros: debug mode", |f| {
            f.pcrs()[2].1 = Cbor::bytes(&[0; 48]);
        }),
    ]
}

fn images() -> Vec<Case> {
    vec![
        reject(
            "other_image",
            "UnknownImage",
            "the image of no release",
            |f| {
                f.policy.images = Some(vec![image(0xb0), image(0xc0)]);
            },
        ),
        reject(
            "pcr_not_locked",
            "UnknownImage",
            "PCR16 is required, and not there",
            |f| {
                let mut release = image(0xa0);
                release.insert(16, hex::encode([0; 48]));
                f.policy.images = Some(vec![release]);
            },
        ),
        reject(
            "no_releases",
            "NoReferenceValues",
            "a policy without releases",
            |f| {
                f.policy.images = Some(vec![]);
            },
        ),
    ]
}

fn freshness() -> Vec<Case> {
    vec![
        reject("other_nonce", "Nonce", "another nonce", |f| {
            f.set("nonce", Cbor::bytes(&[7; 32]));
            f.policy.nonce = Some("08".repeat(32));
        }),
        reject(
            "nonce_absent",
            "Nonce",
            "no nonce, where one is expected",
            |f| {
                f.policy.nonce = Some("07".repeat(32));
            },
        ),
        reject(
            "no_expected_nonce",
            "NoExpectedNonce",
            "an empty nonce is no challenge",
            |f| {
                f.set("nonce", Cbor::bytes(&[]));
                f.policy.nonce = Some(String::new());
            },
        ),
        reject(
            "too_old",
            "TooOld",
            "a millisecond older than allowed",
            |f| {
                f.policy.max_age_s = Some(60);
                f.at_ms = MADE_MS + 60_001;
            },
        ),
        reject(
            "from_the_future",
            "FromTheFuture",
            "a millisecond beyond the leeway",
            |f| {
                f.set("timestamp", Cbor::Unsigned(AT_MS + 10_001));
                f.policy.max_age_s = Some(60);
                f.policy.leeway_s = 10;
            },
        ),
    ]
}

fn user_data() -> Vec<Case> {
    vec![
        reject("other_user_data", "UserData", "user_data and a byte", |f| {
            f.set("user_data", Cbor::bytes(b"expected!"));
            f.policy.user_data = Some(UserData::Equals(hex::encode("expected")));
        }),
        reject(
            "other_purpose",
            "Purpose",
            "user_data with another tag",
            |f| {
                f.set("user_data", Cbor::bytes(b"another purpose"));
                f.policy.user_data = Some(UserData::Tagged(hex::encode("purpose")));
            },
        ),
        reject(
            "user_data_absent",
            "Purpose",
            "no user_data, where a tag is expected",
            |f| {
                f.policy.user_data = Some(UserData::Tagged(hex::encode("purpose")));
            },
        ),
        reject(
            "no_expected_user_data",
            "NoExpectedUserData",
            "an empty tag is none",
            |f| {
                f.policy.user_data = Some(UserData::Tagged(String::new()));
            },
        ),
    ]
}
