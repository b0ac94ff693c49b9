//! A key that the configuration wants locked, against KMS as an administrator left it.
use dauth_enclave::{
    keyset::KeysetError,
    kms::{
        KmsError,
        custody::{CustodyError, Inspection},
        key_policy::{StatementFault, UnlockedPolicy},
    },
};
use dauth_protocol::{
    deployment::{KeyPolicyRule, Predecessor},
    key_policy::{Administration, AttestedImage, KeyPolicy},
};
use dauth_simulator::kms::key::{Grant, KeyState, Origin};
use serde_json::{Value, json};

use super::{
    IMAGE, OTHER_IMAGE, create,
    fixture::{ACCOUNT_ROOT, Host, Image, KmsServer, ROLE},
    load, refusal,
};

const ANYONE: &str = "arn:aws:iam::000000000000:user/someone";

/// A booted image that wants a locked key, and a KMS without a policy yet.
async fn scene() -> (KmsServer, Image) {
    let kms = KmsServer::start().await;
    let image = Image::boot_with(IMAGE, &kms, |configuration| {
        configuration.kms.key_policy = KeyPolicyRule::Locked;
    });
    (kms, image)
}

fn policy(images: &[Predecessor], administration: Administration) -> String {
    let images = images.iter();
    let images = images.map(|image| AttestedImage::new([(0, image.pcr0), (16, image.pcr16)]));
    KeyPolicy {
        role: ROLE.parse().unwrap(),
        images: images.collect::<Result<_, _>>().unwrap(),
        administration,
    }
    .to_json()
}

fn locked(image: &Image) -> String {
    policy(
        &[image.measurement()],
        Administration::Locked(ACCOUNT_ROOT.parse().unwrap()),
    )
}

#[tokio::test]
async fn a_locked_key_is_found_locked_and_serves() {
    let (kms, image) = scene().await;
    kms.put_policy(&locked(&image));
    let host = Host::new();
    assert_eq!(image.custody(&host).await.unwrap(), KeyPolicyRule::Locked);
    create(&image, &host).await.unwrap();
    load(&image, &host).await.unwrap();
}

#[tokio::test]
async fn an_unchecked_key_is_asked_nothing_about() {
    let kms = KmsServer::start().await;
    let image = Image::boot(IMAGE, &kms);
    kms.put_policy(r#"{"Version": "2012-10-17", "Statement": []}"#);
    let found = image.custody(&Host::new()).await.unwrap();
    assert_eq!(found, KeyPolicyRule::Unchecked);
}

#[tokio::test]
async fn a_policy_that_its_administrator_may_change_is_refused() {
    let (kms, image) = scene().await;
    let open = Administration::By(ACCOUNT_ROOT.parse().unwrap());
    kms.put_policy(&policy(&[image.measurement()], open));
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CustodyError::Policy(UnlockedPolicy::Statement {
                fault: StatementFault::Action(_),
                ..
            })
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn a_policy_for_another_image_too_is_refused() {
    let (kms, image) = scene().await;
    let other = Image::boot(OTHER_IMAGE, &kms).measurement();
    let root = Administration::Locked(ACCOUNT_ROOT.parse().unwrap());
    kms.put_policy(&policy(&[image.measurement(), other.clone()], root.clone()));
    let refused = image.custody(&Host::new()).await.unwrap_err();
    let fault = StatementFault::UnknownImage;
    let expected = UnlockedPolicy::Statement { number: 2, fault };
    assert!(
        matches!(&refused, CustodyError::Policy(found) if *found == expected),
        "{refused}"
    );
}

/// As an administrator might hide it between two statements of the generator.
#[tokio::test]
async fn a_statement_slipped_in_is_refused() {
    let (kms, image) = scene().await;
    let mut slipped: Value = serde_json::from_str(&locked(&image)).unwrap();
    slipped["Statement"].as_array_mut().unwrap().push(json!({
        "Effect": "Allow", "Principal": {"AWS": ANYONE}, "Action": "kms:Decrypt", "Resource": "*",
    }));
    kms.put_policy(&slipped.to_string());
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CustodyError::Policy(UnlockedPolicy::Statement {
                fault: StatementFault::Unattested,
                ..
            })
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn a_key_with_a_grant_or_that_others_may_have_is_refused() {
    let (mut kms, image) = scene().await;
    kms.put_policy(&locked(&image));
    kms = kms
        .restart_with(|key| {
            key.grants.push(Grant {
                grantee: ANYONE.to_owned(),
                operations: vec!["Decrypt".to_owned()],
            });
        })
        .await;
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(matches!(refused, CustodyError::Grant), "{refused}");
    kms = kms.restart_with(|key| key.multi_region = true).await;
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(matches!(refused, CustodyError::MultiRegion), "{refused}");
    kms = kms.restart_with(|key| key.origin = Origin::External).await;
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(
        matches!(refused, CustodyError::ForeignMaterial),
        "{refused}"
    );
    let _kms = kms
        .restart_with(|key| {
            key.origin = Origin::AwsKms;
            key.multi_region = false;
            key.state = KeyState::Disabled;
        })
        .await;
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(matches!(refused, CustodyError::NotEnabled), "{refused}");
}

#[tokio::test]
async fn what_the_role_may_not_ask_is_named() {
    let (kms, image) = scene().await;
    let silent = locked(&image).replace("\"kms:GetKeyPolicy\",", "");
    kms.put_policy(&silent);
    let refused = image.custody(&Host::new()).await.unwrap_err();
    assert!(
        matches!(refused, CustodyError::NotAllowed(Inspection::GetKeyPolicy)),
        "{refused}"
    );
    assert!(refused.to_string().contains("kms:GetKeyPolicy"));
}

/// The lock is the policy's: what it says of images holds whatever the boot finds.
#[tokio::test]
async fn another_image_gets_no_key_of_a_locked_policy() {
    let (kms, image) = scene().await;
    kms.put_policy(&locked(&image));
    let other = Image::boot(OTHER_IMAGE, &kms);
    let refused = refusal(create(&other, &Host::new()).await);
    assert!(
        matches!(refused, KeysetError::Kms(KmsError::AccessDenied)),
        "{refused}"
    );
}
