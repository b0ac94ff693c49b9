//! Records under a former key: served, and sealed anew for calls that pass.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_sealing::{RecordKey, SealedRecord};
use zeroize::Zeroizing;

use super::*;
use crate::{
    deposit::tests::TestReceiptKey,
    open::stored::StoredRecord,
    reencrypt::tests::vault::{Answer, Vault},
};

/// An enclave whose record key has changed once.
struct Enclave {
    opener: Opener,
    former: RecordKey,
    current: RecordKey,
    receipt_key: TestReceiptKey,
}

fn key(number: u8) -> RecordKey {
    RecordKey::new([number; 8], Zeroizing::new([number; 32])).unwrap()
}

impl Enclave {
    fn new(vault: &Vault) -> Self {
        Self {
            opener: Opener::new(vault.host.clone(), vault.reencryptor()),
            former: key(1),
            current: key(2),
            receipt_key: TestReceiptKey::new(),
        }
    }

    fn record(&self, key: &RecordKey, header: &RecordHeader) -> Vec<u8> {
        let secret = Secret::new(SECRET.to_vec()).unwrap();
        key.seal(header, &secret, [1; 12]).unwrap()
    }

    /// Answers a call of the case's caller with this record, sealed under `key`.
    async fn call(
        &self,
        case: Case<'_>,
        record: &[u8],
        key: &RecordKey,
    ) -> Result<Fingerprint, Refusal> {
        let caller = case.parties.authenticated(&case.claims).await;
        let stored = StoredRecord {
            bytes: record.to_vec(),
            fingerprint: Fingerprint::of(record),
        };
        let handle = &case.request.target.handle;
        let record = OwnRecord::open(stored.check()?, Some(key), &caller, handle)?;
        let versions = &self.opener.versions;
        let call = authorize(&record, &caller, case.request, versions, NOW_S)?;
        let keys = DepositKeys::new(&self.current, &self.receipt_key);
        let call = self.opener.renewed(call, &record, &keys, NOW_S);
        assert_eq!(record.secret.expose(), SECRET);
        Ok(call.fingerprint)
    }

    fn waiting(&self) -> usize {
        self.opener.reencryptor.waiting()
    }
}

#[tokio::test]
async fn a_record_under_a_former_key_becomes_the_same_one_under_the_current_key() {
    let parties = Parties::new();
    let header = header(&parties);
    let old = key(1).seal(&header, &Secret::new(SECRET.to_vec()).unwrap(), [1; 12]);
    let old = old.unwrap();
    let mut vault = Vault::new(Answer::Honest, &Fingerprint::of(&old));
    let enclave = Enclave::new(&vault);
    let opened = enclave
        .call(Case::of_server(&parties), &old, &enclave.former)
        .await;
    assert_eq!(opened, Ok(Fingerprint::of(&old)));
    assert_eq!(vault.event().await.0, "reencrypted");

    let stored = vault.stored().await.remove(0);
    let new = BASE64_STANDARD.decode(stored.record).unwrap();
    let open = |key: &RecordKey| SealedRecord::parse(&new).unwrap().open(key);
    assert!(open(&enclave.former).is_err());
    let reopened = open(&enclave.current).map_err(drop).unwrap();
    assert_eq!(reopened.header, header);
    assert_eq!(reopened.secret.expose(), SECRET);
    let receipt = BASE64_STANDARD.decode(stored.receipt).unwrap();
    let receipt = enclave.receipt_key.verified(&receipt).unwrap();
    assert_eq!(
        receipt.fingerprint.as_slice(),
        Fingerprint::of(&new).as_bytes()
    );
    assert_eq!((receipt.version, receipt.admitted), (2, NOW_S));

    let again = enclave
        .call(Case::of_owner(&parties), &new, &enclave.current)
        .await;
    assert_eq!(again, Ok(Fingerprint::of(&new)));
    assert_eq!(enclave.waiting(), 0, "it is under the current key");
}

#[tokio::test]
async fn a_refused_call_seals_nothing_anew() {
    type Change = fn(&mut Case<'_>);
    let cases: [Change; 6] = [
        |c| c.header.expires = NOW_S,
        |c| c.header.tenant.push('x'),
        |c| c.header.owner.subject.push('x'),
        |c| c.header.owner.thumbprint = "a".repeat(43),
        |c| c.header.policy = ByteBuf::from(*b"{}"),
        |c| c.request = request(Method::DELETE, "/me"),
    ];
    let parties = Parties::new();
    let vault = Vault::new(Answer::Honest, &Fingerprint::from([0; 32]));
    let enclave = Enclave::new(&vault);
    for change in cases {
        let mut case = Case::of_owner(&parties);
        change(&mut case);
        let record = enclave.record(&enclave.former, &case.header);
        assert!(enclave.call(case, &record, &enclave.former).await.is_err());
        assert_eq!(enclave.waiting(), 0);
    }
    let case = Case::of_owner(&parties);
    let record = enclave.record(&enclave.former, &case.header);
    assert!(enclave.call(case, &record, &enclave.former).await.is_ok());
    assert_eq!(enclave.waiting(), 1);
}

#[tokio::test]
async fn of_two_enclaves_one_stores_and_both_answer() {
    let parties = Parties::new();
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    let old = key(1).seal(&header(&parties), &secret, [1; 12]).unwrap();
    let mut vault = Vault::new(Answer::Honest, &Fingerprint::of(&old));
    let fleet = [Enclave::new(&vault), Enclave::new(&vault)];
    for enclave in &fleet {
        let case = Case::of_owner(&parties);
        let opened = enclave.call(case, &old, &enclave.former).await;
        assert_eq!(opened, Ok(Fingerprint::of(&old)));
    }
    let mut events = [vault.event().await, vault.event().await];
    events.sort();
    assert_eq!(events[0].1, "superseded");
    assert_eq!(events[1].0, "reencrypted");
    let stored = vault.stored().await;
    assert_eq!(stored.len(), 1);
    let new = BASE64_STANDARD.decode(&stored[0].record).unwrap();
    assert_eq!(vault.newest().await, Fingerprint::of(&new).to_string());
}

#[tokio::test]
async fn whatever_the_vault_answers_the_call_is_answered() {
    let parties = Parties::new();
    for answer in [Answer::Status(404), Answer::Status(500), Answer::Garbage] {
        let mut vault = Vault::new(answer, &Fingerprint::from([0; 32]));
        let enclave = Enclave::new(&vault);
        let record = enclave.record(&enclave.former, &header(&parties));
        for _ in 0..2 {
            let case = Case::of_owner(&parties);
            let opened = enclave.call(case, &record, &enclave.former).await;
            assert_eq!(opened, Ok(Fingerprint::of(&record)));
        }
        assert_eq!(vault.event().await.0, "not_reencrypted");
        assert_eq!(enclave.waiting(), 0);
    }
}
