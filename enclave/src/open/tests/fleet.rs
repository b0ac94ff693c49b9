//! Record keys that change while enclaves run.
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use coset::{CborSerializable as _, CoseSign1};
use dauth_protocol::host::KeyKind;
use dauth_sealing::{RecordKey, SealedRecord};
use zeroize::Zeroizing;

use super::*;
use crate::{
    keyset::tests::{fleet::Fleet, kms::KmsFault, parent::ParentFault},
    reencrypt::tests::vault::Vault,
    serving::LAGS,
};

fn sealed(key: &RecordKey, parties: &Parties) -> Vec<u8> {
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    key.seal(&header(parties), &secret, [1; 12]).unwrap()
}

fn opener(vault: &Vault) -> Opener {
    Opener::new(vault.host.clone(), vault.reencryptor())
}

/// An owner's call, with a token that names this record.
async fn call(
    opener: &Opener,
    keeper: &Keeper,
    parties: &Parties,
    record: &[u8],
) -> Result<(), Refusal> {
    let mut claims = parties.owner_claims();
    let named = Fingerprint::of(record).to_string();
    claims.fingerprints.insert(HANDLE.into(), named);
    let caller = parties.authenticated(&claims).await;
    let request = request(Method::GET, "/me");
    let opened = opener.open(keeper, &caller, request).await?;
    let (_, secret) = opener.authorize(opened, NOW_S)?;
    assert_eq!(secret.expose(), SECRET);
    Ok(())
}

#[tokio::test]
async fn a_record_under_a_key_that_another_enclave_made_is_opened() {
    let (fleet, parties) = (Fleet::with_keyset().await, Parties::new());
    let keeper = fleet.keeper().await;
    let first = keeper.current();
    let next = fleet.change(first.keyset(), [KeyKind::Record]).await;
    let record = sealed(next.unwrap().record_key(), &parties);
    let vault = Vault::with(&record).await;
    let opener = opener(&vault);
    assert_eq!(keeper.current().keyset().generation(), 1);
    assert_eq!(call(&opener, &keeper, &parties, &record).await, Ok(()));
    assert_eq!(keeper.current().keyset().generation(), 2);
    assert_eq!(opener.reencryptor.waiting(), 0);
}

#[tokio::test]
async fn a_record_under_a_former_key_is_vouched_for_by_the_current_keys() {
    let (fleet, parties) = (Fleet::with_keyset().await, Parties::new());
    let first = fleet.load().await.unwrap();
    let record = sealed(first.record_key(), &parties);
    let kinds = [KeyKind::Record, KeyKind::Receipt];
    fleet.change(&first, kinds).await.unwrap();
    let keeper = fleet.keeper().await;
    let mut vault = Vault::with(&record).await;
    let opener = opener(&vault);
    assert_eq!(call(&opener, &keeper, &parties, &record).await, Ok(()));
    assert_eq!(vault.event().await.0, "reencrypted");

    let stored = vault.stored().await.remove(0);
    let serving = keeper.current();
    let record = BASE64_STANDARD.decode(stored.record).unwrap();
    let sealed = SealedRecord::parse(&record).unwrap();
    assert!(sealed.open(serving.keyset().record_key()).is_ok());
    let receipt = BASE64_STANDARD.decode(stored.receipt).unwrap();
    let receipt = CoseSign1::from_slice(&receipt).unwrap();
    let verified_by = |spki: &[u8]| {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki);
        let verify = |signature: &[u8], message: &[u8]| key.verify(message, signature);
        receipt.verify_signature(&[], verify).is_ok()
    };
    assert!(verified_by(serving.keyset().receipt_key().spki()));
    assert!(!verified_by(first.receipt_key().spki()));
}

#[tokio::test]
async fn a_record_under_nobodys_key_is_refused() {
    let (fleet, parties) = (Fleet::with_keyset().await, Parties::new());
    let keeper = fleet.keeper().await;
    let key = RecordKey::new([0; 8], Zeroizing::new([1; 32])).unwrap();
    let record = sealed(&key, &parties);
    let vault = Vault::with(&record).await;
    let refusal = call(&opener(&vault), &keeper, &parties, &record)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, Code::DecryptionFailed);
    assert_eq!(refusal.detail, "the record was sealed under another keyset");
}

/// Another enclave has changed the record key, and this one cannot learn of it yet: that passes, and
/// the record is not said to be lost.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_had_yet_is_worth_another_try() {
    let (fleet, parties) = (Fleet::with_keyset().await, Parties::new());
    let keeper = fleet.keeper().await;
    let first = keeper.current();
    let next = fleet.change(first.keyset(), [KeyKind::Record]).await;
    let record = sealed(next.unwrap().record_key(), &parties);
    let vault = Vault::with(&record).await;
    let opener = opener(&vault);
    fleet.parent.fail(ParentFault::Fails);
    let refused = call(&opener, &keeper, &parties, &record).await;
    assert_eq!(refused, Err(LAGS));
    assert!(LAGS.code.retryable());
    fleet.parent.fail(ParentFault::None);
    fleet.kms.fail(KmsFault::Denies);
    for _ in 0..2 {
        let refused = call(&opener, &keeper, &parties, &record).await;
        assert_eq!(refused, Err(LAGS));
    }
    fleet.kms.fail(KmsFault::None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(call(&opener, &keeper, &parties, &record).await, Ok(()));
}
