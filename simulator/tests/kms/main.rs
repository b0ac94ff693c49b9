//! The enclave's KMS client and keyset against the simulated KMS, over TLS and a parent's relay.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod custody;
mod fixture;
mod hostile;

use dauth_enclave::{
    keyset::{self, Keyset, KeysetError},
    kms::KmsError,
};
use dauth_protocol::key_configuration::Kem;
use fixture::{Host, Image, KmsServer, ROLE};
use serde_json::json;

/// PCR0 of two images, each byte.
const IMAGE: u8 = fixture::IMAGE;
const OTHER_IMAGE: u8 = 0x20;

async fn load(image: &Image, host: &Host) -> Result<Keyset, KeysetError> {
    keyset::load(&image.context(host)).await
}

async fn create(image: &Image, host: &Host) -> Result<(), KeysetError> {
    keyset::create(&image.context(host), fixture::now_s()).await
}

fn refusal<T>(result: Result<T, KeysetError>) -> KeysetError {
    result.err().expect("a refusal")
}

/// A policy that any image passes: it stands for one that names the wrong images.
fn careless_policy() -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:*", "Resource": "*",
    }]})
}

#[tokio::test]
async fn a_keyset_outlives_enclave_and_kms() {
    let kms = KmsServer::start().await;
    let host = Host::new();
    let image = Image::boot(IMAGE, &kms);
    assert!(matches!(
        refusal(load(&image, &host).await),
        KeysetError::Missing
    ));
    create(&image, &host).await.unwrap();
    let first = load(&image, &host).await.unwrap();
    assert_eq!(first.generation(), 1);
    assert_eq!(first.recipients()[0].kem(), Kem::MlKem768X25519);
    assert_eq!(first.recipients()[1].kem(), Kem::X25519);

    let kms = kms.restart().await;
    let again = load(&Image::boot(IMAGE, &kms), &host).await.unwrap();
    assert_eq!(first.id(), again.id());
    assert_eq!(first.receipt_key().spki(), again.receipt_key().spki());
    for (one, other) in first.recipients().iter().zip(again.recipients()) {
        assert_eq!(one.public(), other.public());
        assert!(again.recipient(one.id()).is_some());
    }
    assert!(again.record_key_by_id(first.record_key().id()).is_some());
    assert!(again.record_key_by_id(&[0; 8]).is_none());
}

#[tokio::test]
async fn creation_replaces_nothing() {
    let kms = KmsServer::start().await;
    let (host, image) = (Host::new(), Image::boot(IMAGE, &kms));
    create(&image, &host).await.unwrap();
    let before = host.keyset();
    assert!(matches!(
        refusal(create(&image, &host).await),
        KeysetError::AlreadyThere
    ));
    assert_eq!(host.keyset(), before);
}

#[tokio::test]
async fn kms_refuses_an_image_or_configuration_that_the_policy_does_not_name() {
    let kms = KmsServer::start().await;
    let host = Host::new();
    create(&Image::boot(IMAGE, &kms), &host).await.unwrap();
    let other_configuration = Image::boot_with(IMAGE, &kms, |configuration| {
        configuration.audience = "https://other.test".to_owned();
    });
    for image in [Image::boot(OTHER_IMAGE, &kms), other_configuration] {
        for refused in [
            refusal(create(&image, &Host::new()).await),
            refusal(load(&image, &host).await),
        ] {
            assert!(
                matches!(refused, KeysetError::Kms(KmsError::AccessDenied)),
                "{refused}"
            );
            assert!(refused.to_string().contains("KMS refused this image"));
        }
    }
}

/// Even under a key policy that lets him use the key: an image of his own, the same configuration,
/// the same KMS key, a genuine birth document, but not one of this image.
#[tokio::test]
async fn a_keyset_made_by_someone_else_under_the_same_kms_key_is_refused() {
    let kms = KmsServer::with_policy(careless_policy()).await;
    let planted = Host::new();
    create(&Image::boot(OTHER_IMAGE, &kms), &planted)
        .await
        .unwrap();
    let refused = refusal(load(&Image::boot(IMAGE, &kms), &planted).await);
    assert!(matches!(refused, KeysetError::OtherImage), "{refused}");
}

#[tokio::test]
async fn a_named_predecessor_hands_its_keyset_on() {
    let kms = KmsServer::with_policy(careless_policy()).await;
    let host = Host::new();
    let old = Image::boot(OTHER_IMAGE, &kms);
    create(&old, &host).await.unwrap();
    let new = Image::boot_with(IMAGE, &kms, |configuration| {
        configuration.predecessors.push(old.measurement());
    });
    load(&new, &host).await.unwrap();
}

#[tokio::test]
async fn another_deployment_gets_no_data_key() {
    let kms = KmsServer::with_policy(careless_policy()).await;
    let host = Host::new();
    let image = Image::boot(IMAGE, &kms);
    create(&image, &host).await.unwrap();
    let other = Image::boot_with(IMAGE, &kms, |configuration| {
        configuration.deployment = "other".to_owned();
        configuration.predecessors.push(image.measurement());
    });
    assert!(matches!(
        refusal(load(&other, &host).await),
        KeysetError::OtherDeployment
    ));
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let kms = KmsServer::start().await;
    let image = Image::boot(IMAGE, &kms);
    for (host, code) in [
        (
            Host::with_secret("another secret"),
            "InvalidSignatureException",
        ),
        (
            Host::with_access_key("AKIAOTHER"),
            "UnrecognizedClientException",
        ),
    ] {
        match refusal(create(&image, &host).await) {
            KeysetError::Kms(KmsError::Credentials(refused)) => assert_eq!(refused.as_str(), code),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_kms_with_an_unknown_certificate_is_refused_before_anything_is_sent() {
    let (kms, impostor) = (KmsServer::start().await, KmsServer::start().await);
    let image = Image::boot(IMAGE, &kms);
    // The parent relays to another server than the enclave asked for.
    let host = Host::that_connects_to(impostor.address());
    let refused = refusal(create(&image, &host).await);
    assert!(
        matches!(refused, KeysetError::Kms(KmsError::Tls(_))),
        "{refused}"
    );
}
