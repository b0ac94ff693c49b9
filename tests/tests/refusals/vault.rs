//! A control plane that alters records, exchanges them, or serves old ones.
use dauth_protocol::Code;
use dauth_tests::{Enclave, Stored, Vault};
use sha2::{Digest, Sha256};

use crate::scene::{SECRET, Scene, assert_refused, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vault_that_alters_or_holds_back_records() {
    let scene = Scene::set().await;
    let enclave = Enclave::open(&scene.file).await;
    let key = scene.stack.owner_key();
    let target = target(&scene.handle);
    let mut vault = Vault::open(&scene.file).await;
    let first = vault.get(&scene.handle).await;

    // One bit, in every part of the record: with the honest fingerprint, and with one to match.
    let token = scene.owners_token(&scene.file.enclave.resource, &key).await;
    for at in (0..first.record.len()).step_by(5) {
        let mut changed = first.clone();
        changed.record[at] ^= 1 << (at % 8);
        vault.put(&scene.handle, &changed).await;
        let refused = enclave.call(&target, &token, &key).await;
        refused.assert_refused(Code::DecryptionFailed, "not the one that the token names");
    }
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "");
    for at in (0..first.record.len()).step_by(41) {
        let mut record = first.record.clone();
        record[at] ^= 1 << (at % 8);
        let fingerprint = hex::encode(Sha256::digest(&record));
        vault
            .put(
                &scene.handle,
                &Stored {
                    record,
                    fingerprint,
                },
            )
            .await;
        let token = scene.owners_token(&scene.file.enclave.resource, &key).await;
        let refused = enclave.call(&target, &token, &key).await;
        assert_eq!(
            refused.code.as_deref(),
            Some("DECRYPTION_FAILED"),
            "byte {at}: {refused:?}"
        );
    }
    vault.put(&scene.handle, &first).await;
    scene.assert_works();

    another_record_in_its_place(&scene, &mut vault).await;
    an_old_record_served_again(&scene, &mut vault, &first).await;
    revoked_is_revoked(&scene).await;
}

/// A record of the same owner, under another handle.
async fn another_record_in_its_place(scene: &Scene, vault: &mut Vault) {
    let base_url = scene.upstream.base_url();
    let other = scene.stack.connect(
        "other",
        &base_url,
        SECRET,
        &["--bearer", "--allow", "GET /**"],
    );
    let (mine, theirs) = (vault.get(&scene.handle).await, vault.get(&other).await);
    let parked = Stored {
        fingerprint: "0".repeat(64),
        ..theirs.clone()
    };
    vault.put(&other, &parked).await;
    vault.put(&scene.handle, &theirs).await;
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "another connection's");
    vault.put(&scene.handle, &mine).await;
    vault.put(&other, &theirs).await;
}

async fn an_old_record_served_again(scene: &Scene, vault: &mut Vault, first: &Stored) {
    let rotate = ["connections", "rotate", &scene.handle];
    let rotated = scene
        .stack
        .dauth_with_input(&rotate, b"sk-fedcba9876543210");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let second = vault.get(&scene.handle).await;
    assert_ne!(first.fingerprint, second.fingerprint);
    scene.assert_works();
    let sent = scene.upstream.requests().pop().unwrap();
    assert_eq!(sent.headers["authorization"], "Bearer sk-fedcba9876543210");

    let before = scene.upstream.requests().len();
    let blob_alone = Stored {
        record: first.record.clone(),
        ..second.clone()
    };
    vault.put(&scene.handle, &blob_alone).await;
    assert_refused(
        &scene.call(),
        "DECRYPTION_FAILED",
        "not the one that the token names",
    );
    // The control plane is in it, too: it puts the old fingerprint into tokens.
    vault.put(&scene.handle, first).await;
    assert_refused(&scene.call(), "DECRYPTION_FAILED", "older version");
    assert_eq!(
        scene.upstream.requests().len(),
        before,
        "the old secret went nowhere"
    );
    vault.put(&scene.handle, &second).await;
    scene.assert_works();
}

/// For a token of before as for one of after.
async fn revoked_is_revoked(scene: &Scene) {
    let enclave = Enclave::open(&scene.file).await;
    let key = scene.stack.owner_key();
    let earlier = scene.owners_token(&scene.file.enclave.resource, &key).await;
    let revoked = scene.stack.dauth(&["connections", "revoke", &scene.handle]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    let refused = enclave.call(&target(&scene.handle), &earlier, &key).await;
    refused.assert_refused(Code::ConnectionRevoked, "revoked");
    assert_refused(&scene.call(), "CONNECTION_REVOKED", "revoked");
    let rotate = ["connections", "rotate", &scene.handle];
    let ran = scene.stack.dauth_with_input(&rotate, SECRET.as_bytes());
    assert_refused(&ran, "", "revoked");
}
