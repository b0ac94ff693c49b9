//! Errors of KMS: which are asked again, and which are final.
use super::{DECRYPT, Scene, server::WRAPPED};

#[tokio::test]
async fn what_passes_by_itself_is_asked_again() {
    let scene = Scene::new().await;
    scene.kms.refuse(
        DECRYPT,
        &[
            (503, ""),
            (400, "DependencyTimeoutException"),
            (400, "KeyUnavailableException"),
            (500, "KMSInternalException"),
            (400, "ThrottlingException"),
        ],
    );
    let (result, seen) = scene.decrypt().await;
    result.unwrap();
    assert_eq!((seen.requests.len(), seen.connections), (6, 6));
}

#[tokio::test]
async fn what_does_not_is_final() {
    let scene = Scene::new().await;
    for code in [
        "AccessDeniedException",
        "InvalidCiphertextException",
        "IncorrectKeyException",
        "DisabledException",
        "NotFoundException",
        "KMSInvalidStateException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "ValidationException",
        "SomethingNewException",
    ] {
        scene.kms.refuse(DECRYPT, &[(400, code)]);
        let result = scene.client.decrypt(&WRAPPED).await;
        let seen = scene.seen(&result);
        assert!(seen.error.is_some(), "{code}");
        assert_eq!(seen.requests.len(), 1, "{code}");
    }
}
