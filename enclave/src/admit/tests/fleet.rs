//! Recipient keys that change while clients seal.
use dauth_protocol::host::KeyKind;

use super::*;
use crate::keyset::{Keyset, tests::fleet::Fleet};

/// What an owner seals to a generation that it saw evidence of.
fn sealed_to(keyset: &Keyset, parties: &Parties) -> Vec<u8> {
    let mut recipients = keyset.recipients().iter();
    let recipient = recipients.find(|key| key.public().kem == Kem::X25519);
    seal(recipient.unwrap(), &header(parties), SECRET)
}

async fn admitted(
    keeper: &Keeper,
    parties: &Parties,
    envelope: &[u8],
) -> Result<AdmissionReceipt, Refusal> {
    let caller = parties.authenticated(&parties.owner_claims()).await;
    let admission = Admission {
        caller: &caller,
        envelope,
        audience: AUDIENCE,
        versions: &Versions::default(),
        now_s: NOW_S,
    };
    let deposit = admit(keeper, &admission).await?;
    let serving = keeper.current();
    let record = SealedRecord::parse(deposit.record()).unwrap();
    let opened = record.open(serving.keyset().record_key());
    assert_eq!(opened.map_err(drop).unwrap().secret.expose(), SECRET);
    Ok(deposit.receipt().clone())
}

#[tokio::test]
async fn an_envelope_to_a_key_that_another_enclave_made_is_admitted() {
    let fleet = Fleet::with_keyset().await;
    let keeper = fleet.keeper().await;
    let first = keeper.current();
    let next = fleet.change(first.keyset(), [KeyKind::Recipient]).await;
    let parties = Parties::new();
    let envelope = sealed_to(&next.unwrap(), &parties);
    assert_eq!(keeper.current().keyset().generation(), 1);
    assert!(admitted(&keeper, &parties, &envelope).await.is_ok());
    assert_eq!(keeper.current().keyset().generation(), 2);
}

#[tokio::test]
async fn an_envelope_to_a_former_key_is_admitted() {
    let fleet = Fleet::with_keyset().await;
    let first = fleet.load().await.unwrap();
    let parties = Parties::new();
    let envelope = sealed_to(&first, &parties);
    let all = [KeyKind::Recipient, KeyKind::Record, KeyKind::Receipt];
    fleet.change(&first, all).await.unwrap();
    let keeper = fleet.keeper().await;
    assert!(admitted(&keeper, &parties, &envelope).await.is_ok());
}

#[tokio::test]
async fn an_envelope_to_nobodys_key_is_refused() {
    let keeper = Fleet::with_keyset().await.keeper().await;
    let parties = Parties::new();
    let stranger = RecipientKey::generate(Kem::X25519, [0; 8], &mut Random).unwrap();
    let envelope = seal(&stranger, &header(&parties), SECRET);
    let refused = admitted(&keeper, &parties, &envelope).await;
    assert_eq!(refused.unwrap_err(), OTHER_KEY);
}
