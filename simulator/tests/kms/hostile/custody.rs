//! Replies about a key that are malformed, endless, or of another key.
use dauth_enclave::{
    kms::custody::{self, CustodyError, Inspection},
    trust::LockAuthority,
};
use dauth_protocol::{
    deployment::{KeyPolicyRule, Predecessor},
    key_policy::{Administration, AttestedImage, KeyPolicy},
    measurement::Pcr,
};
use serde_json::{Value, json};

use super::{Scene, server::KEY_ARN};

const DESCRIBE: &str = "TrentService.DescribeKey";
const POLICY: &str = "TrentService.GetKeyPolicy";
const GRANTS: &str = "TrentService.ListGrants";
const NO_GRANTS: &str = r#"{"Grants": [], "Truncated": false}"#;

fn image() -> Predecessor {
    Predecessor {
        pcr0: Pcr::from([1; 48]),
        pcr16: Pcr::from([2; 48]),
    }
}

fn metadata() -> Value {
    json!({"KeyMetadata": {
        "Arn": KEY_ARN,
        "Enabled": true,
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": false,
        "Origin": "AWS_KMS",
    }})
}

fn locked() -> String {
    let image = image();
    let policy = KeyPolicy {
        role: "arn:aws:iam::000000000000:role/parent".parse().unwrap(),
        images: vec![AttestedImage::new([(0, image.pcr0), (16, image.pcr16)]).unwrap()],
        administration: Administration::Locked("arn:aws:iam::000000000000:root".parse().unwrap()),
    };
    json!({"Policy": policy.to_json(), "PolicyName": "default"}).to_string()
}

/// A KMS that describes a locked key.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    scene.kms.describe(DESCRIBE, &[&metadata().to_string()]);
    scene.kms.describe(POLICY, &[&locked()]);
    scene.kms.describe(GRANTS, &[NO_GRANTS]);
    scene
}

async fn check(scene: &Scene) -> Result<KeyPolicyRule, CustodyError> {
    let rule = KeyPolicyRule::Locked;
    custody::check(&scene.client, rule, &image(), LockAuthority::Roots).await
}

#[tokio::test]
async fn a_locked_key_takes_three_requests_without_a_recipient() {
    let scene = scene().await;
    assert_eq!(check(&scene).await.unwrap(), KeyPolicyRule::Locked);
    let (_, requests) = scene.kms.take_log();
    let targets: Vec<&str> = requests.iter().map(|(target, _)| target.as_str()).collect();
    assert_eq!(targets, [DESCRIBE, POLICY, GRANTS]);
}

#[tokio::test]
async fn replies_that_are_malformed_or_too_long_are_refused() {
    for (target, inspection) in [
        (DESCRIBE, Inspection::DescribeKey),
        (POLICY, Inspection::GetKeyPolicy),
        (GRANTS, Inspection::ListGrants),
    ] {
        let scene = scene().await;
        let long = " ".repeat(1 << 20);
        for reply in [
            "",
            "{}",
            "[]",
            "{\"Grants\": 1, \"Policy\": 1}",
            "<html>",
            &long,
        ] {
            scene.kms.describe(target, &[reply]);
            let refused = check(&scene).await.unwrap_err();
            assert!(
                matches!(refused, CustodyError::Malformed(of) if of == inspection),
                "{inspection}: {refused}"
            );
        }
    }
}

#[tokio::test]
async fn another_key_s_description_is_refused() {
    let scene = scene().await;
    let mut other = metadata();
    other["KeyMetadata"]["Arn"] = json!(format!("{KEY_ARN}-2"));
    scene.kms.describe(DESCRIBE, &[&other.to_string()]);
    let refused = check(&scene).await.unwrap_err();
    assert!(matches!(refused, CustodyError::OtherKey), "{refused}");
}

/// A policy whose own JSON is sound, in a reply that has two of them.
#[tokio::test]
async fn two_policies_in_one_reply_are_refused() {
    let scene = scene().await;
    let twice = format!("{{\"Policy\": \"{{}}\", {}", &locked()[1..]);
    scene.kms.describe(POLICY, &[&twice]);
    let refused = check(&scene).await.unwrap_err();
    assert!(matches!(refused, CustodyError::Malformed(_)), "{refused}");
}

#[tokio::test]
async fn a_grant_on_a_later_page_is_found() {
    let scene = scene().await;
    let empty = r#"{"Grants": [], "Truncated": true, "NextMarker": "next"}"#;
    let one = r#"{"Grants": [{"GrantId": "g"}], "Truncated": false}"#;
    scene.kms.describe(GRANTS, &[empty, empty, one]);
    let refused = check(&scene).await.unwrap_err();
    assert!(matches!(refused, CustodyError::Grant), "{refused}");
    scene.kms.describe(GRANTS, &[empty, NO_GRANTS]);
    check(&scene).await.unwrap();
    scene.kms.describe(GRANTS, &[empty]);
    let refused = check(&scene).await.unwrap_err();
    assert!(matches!(refused, CustodyError::EndlessGrants), "{refused}");
    scene
        .kms
        .describe(GRANTS, &[r#"{"Grants": [], "Truncated": true}"#]);
    let refused = check(&scene).await.unwrap_err();
    assert!(matches!(refused, CustodyError::Malformed(_)), "{refused}");
}
