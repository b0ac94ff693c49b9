//! The role's credentials: used as the parent gives them now, and not once they have ended.
use dauth_enclave::kms::KmsError;

use super::{DECRYPT, Scene, server::WRAPPED};

/// An enclave runs for weeks, its role's credentials for six hours.
#[tokio::test]
async fn renewed_credentials_sign_the_next_request() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        scene.client.decrypt(&WRAPPED).await.unwrap();
        scene.parent.renew_credentials();
    }
    assert_eq!(scene.kms.access_keys(), ["AKIA0", "AKIA1"]);
}

#[tokio::test]
async fn expired_credentials_are_refused_before_kms_sees_them() {
    let scene = Scene::new().await;
    scene.parent.let_credentials_end_at("2020-01-01T00:00:00Z");
    let (result, seen) = scene.decrypt().await;
    assert!(matches!(result, Err(KmsError::RoleCredentialsExpired)));
    assert_eq!((seen.connections, seen.host_requests.len()), (0, 1));
    scene.parent.let_credentials_end_at("2100-01-01T00:00:00Z");
    scene.client.decrypt(&WRAPPED).await.unwrap();
}

#[tokio::test]
async fn no_error_holds_a_credential() {
    let scene = Scene::new().await;
    for (status, code) in [
        (400, "ExpiredTokenException"),
        (400, "AccessDeniedException"),
    ] {
        scene.kms.refuse(DECRYPT, &[(status, code)]);
        let (_, seen) = scene.decrypt().await;
        let (display, debug) = seen.error.unwrap();
        for secret in ["AKIA0", "a secret access key", "a session token"] {
            assert!(
                !display.contains(secret) && !debug.contains(secret),
                "{code}"
            );
        }
    }
}
