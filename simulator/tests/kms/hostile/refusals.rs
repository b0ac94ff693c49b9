//! Replies that are refused, and that nothing tells one from another.
use dauth_enclave::kms::KmsError;

use super::{
    DECRYPT, GENERATE, Scene, Seen, enclave,
    server::{self, DATA_KEY},
    tampering::{flipped, none, other_keys, refused, truncated},
};

/// The error that all share.
fn one_refusal() -> Option<(String, String)> {
    let error = KmsError::ReplyRefused;
    Some((error.to_string(), format!("{error:?}")))
}

#[tokio::test]
async fn a_genuine_reply_is_taken() {
    let scene = Scene::new().await;
    let (result, seen) = scene.decrypt().await;
    assert!(result.unwrap().expose() == &DATA_KEY);
    assert_eq!(seen.connections, 1);
    let (key, seen) = scene.generate(DECRYPT, none()).await;
    assert!(key.unwrap().expose() == &DATA_KEY);
    let targets: Vec<&str> = seen
        .requests
        .iter()
        .map(|(target, _)| target.as_str())
        .collect();
    assert_eq!(targets, [GENERATE, DECRYPT]);
    assert_eq!(seen.connections, 2);
}

#[tokio::test]
async fn refused_replies_to_decrypt_look_the_same() {
    let scene = Scene::new().await;
    let (_, genuine) = scene.decrypt().await;
    for (name, tampering) in refused() {
        scene.kms.tamper(DECRYPT, tampering);
        let (_, seen) = scene.decrypt().await;
        let expected = Seen {
            error: one_refusal(),
            ..genuine.clone()
        };
        assert_eq!(seen, expected, "{name}");
    }
}

/// Also those that open, to another key than KMS has: at once what a keyset would show much later.
#[tokio::test]
async fn refused_replies_to_generate_data_key_look_the_same() {
    let scene = Scene::new().await;
    let (_, genuine) = scene.generate(DECRYPT, none()).await;
    for target in [GENERATE, DECRYPT] {
        for (name, tampering) in refused().into_iter().chain(other_keys()) {
            let (_, seen) = scene.generate(target, tampering).await;
            let expected = Seen {
                error: one_refusal(),
                ..genuine.clone()
            };
            assert_eq!(seen, expected, "{name} in the reply to {target}");
        }
    }
}

/// A bit of each byte, and cuts of each kind: the genuine key or the one refusal, after the same
/// requests.
#[tokio::test]
async fn flipped_bits_and_truncations_look_the_same() {
    let scene = Scene::new().await;
    let (_, genuine) = scene.generate(DECRYPT, none()).await;
    let bits = (0..500).map(|byte| flipped(byte * 8 + byte % 8));
    let cuts = (0..493).step_by(7).map(truncated);
    let mut refused = 0;
    for (number, tampering) in bits.chain(cuts).enumerate() {
        let (key, seen) = scene.generate(GENERATE, tampering).await;
        let error = match key {
            // Of the recipient's name, which nothing is derived from.
            Some(key) => {
                assert!(key.expose() == &DATA_KEY, "change {number}");
                None
            }
            None => one_refusal(),
        };
        refused += usize::from(error.is_some());
        assert_eq!(
            seen,
            Seen {
                error,
                ..genuine.clone()
            },
            "change {number}"
        );
    }
    assert!((500..571).contains(&refused), "{refused}");
}

/// The client cannot see these, and hands out a key: the keyset's AEAD refuses it.
#[tokio::test]
async fn an_envelope_of_another_key_opens_and_looks_like_the_genuine_one() {
    let scene = Scene::new().await;
    let (_, genuine) = scene.decrypt().await;
    for (name, tampering) in other_keys() {
        scene.kms.tamper(DECRYPT, tampering);
        let (result, seen) = scene.decrypt().await;
        assert!(result.unwrap().expose() != &DATA_KEY, "{name}");
        assert_eq!(seen, genuine, "{name}");
    }
}

/// KMS is honest again when it is asked to open what a changed reply held.
#[tokio::test]
async fn a_changed_wrapped_key_is_refused_as_all_else() {
    let scene = Scene::new().await;
    let refusal = (400, "InvalidCiphertextException");
    scene.kms.refuse(DECRYPT, &[refusal]);
    let result = scene.client.generate_data_key().await;
    assert_eq!(scene.seen(&result).error, one_refusal());
}

#[tokio::test]
async fn another_key_is_asked_for_with_the_same_recipient_key() {
    let scene = Scene::new().await;
    let other = format!("{}-2", server::KEY_ARN);
    let kms = enclave::kms_at(scene.kms.address(), &other);
    let client = scene.client.for_key(&kms).unwrap();
    scene.client.decrypt(&server::WRAPPED).await.unwrap();
    client.decrypt(&server::WRAPPED).await.unwrap();
    let asked = scene.kms.keys_asked_for();
    let split = |text: &String| {
        let (key, document) = text.split_once(' ').unwrap();
        (key.to_owned(), document.to_owned())
    };
    let ((one, document), (two, other_document)) = (split(&asked[0]), split(&asked[1]));
    assert_eq!(
        (one, two),
        (format!("{:?}", server::KEY_ARN), format!("{other:?}"))
    );
    assert_eq!(document, other_document);
}
