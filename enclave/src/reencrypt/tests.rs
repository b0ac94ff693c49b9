use dauth_protocol::{
    Injection, Owner, Policy, RequestPath,
    policy::{Limits, PermittedServer},
};
use dauth_sealing::RecordKey;
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::*;
use crate::deposit::tests::TestReceiptKey;

pub(crate) mod vault;
use vault::{Answer, Vault};

const NOW_S: u64 = 1_000_000;

/// The current keys, and what a call opened.
struct Enclave {
    reencryptor: Reencryptor,
    record_key: RecordKey,
    receipt_key: TestReceiptKey,
    header: RecordHeader,
    secret: Secret,
}

impl Enclave {
    fn new(vault: &Vault) -> Self {
        Self {
            reencryptor: vault.reencryptor(),
            record_key: RecordKey::new([2; 8], Zeroizing::new([7; 32])).unwrap(),
            receipt_key: TestReceiptKey::new(),
            header: RecordHeader {
                layout: 1,
                handle: "ddls:conn:1".parse().unwrap(),
                owner: Owner {
                    issuer: "i".into(),
                    subject: "s".into(),
                    thumbprint: "t".into(),
                },
                tenant: "o".into(),
                policy: ByteBuf::from(*b"policy"),
                version: 1,
                created: 1,
                expires: 2,
            },
            secret: Secret::new(b"sk-test-0123456789abcdef".to_vec()).unwrap(),
        }
    }

    fn offer(&self, fingerprint: Fingerprint) {
        let call = Authorized::for_tests(Call {
            handle: self.header.handle.clone(),
            owner: self.header.owner.clone(),
            version: self.header.version,
            fingerprint,
            policy: Policy {
                version: 1,
                base_url: "https://api.example".parse().unwrap(),
                injection: Injection::Bearer {},
                rules: Vec::new(),
                servers: Vec::<PermittedServer>::new(),
                request_headers: Vec::new(),
                limits: Limits::default(),
            },
            caller: String::new(),
            server: None,
            token_id: String::new(),
            token_expires_s: u64::MAX,
            method: http::Method::GET,
            path: RequestPath::parse("/").unwrap(),
            query: None,
            headers: http::HeaderMap::new(),
        });
        let opened = OpenedUnderFormerKey {
            call: &call,
            header: &self.header,
            secret: &self.secret,
        };
        let keys = DepositKeys::new(&self.record_key, &self.receipt_key);
        self.reencryptor.offer(&opened, &keys, NOW_S);
    }
}

fn fingerprint(number: usize) -> Fingerprint {
    Fingerprint::of(&number.to_be_bytes())
}

#[tokio::test]
async fn a_record_is_put_once_and_not_for_each_call() {
    let mut vault = Vault::new(Answer::Honest, &fingerprint(1));
    let enclave = Enclave::new(&vault);
    for _ in 0..3 {
        enclave.offer(fingerprint(1));
        assert_eq!(enclave.reencryptor.waiting(), 1);
    }
    assert_eq!(vault.event().await.0, "reencrypted");
    assert_eq!(vault.stored().await.len(), 1);
    enclave.offer(fingerprint(1));
    assert_eq!(enclave.reencryptor.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_vault_refuses_is_not_tried_again_and_what_fails_is_later() {
    for (answer, reason, is_final) in [
        (Answer::Status(404), "not_found", true),
        (Answer::Status(409), "superseded", true),
        (Answer::Status(410), "revoked", true),
        (Answer::Status(200), "unavailable", false),
        (Answer::Status(400), "unavailable", false),
        (Answer::Status(502), "unavailable", false),
        (Answer::Garbage, "unavailable", false),
    ] {
        let mut vault = Vault::new(answer, &fingerprint(1));
        let enclave = Enclave::new(&vault);
        enclave.offer(fingerprint(1));
        let (event, why) = vault.event().await;
        assert_eq!((event.as_str(), why.as_str()), ("not_reencrypted", reason));
        enclave.offer(fingerprint(1));
        assert_eq!(enclave.reencryptor.waiting(), 0, "{reason}");
        tokio::time::advance(RETRY_AFTER).await;
        enclave.offer(fingerprint(1));
        let tries = usize::from(!is_final);
        assert_eq!(enclave.reencryptor.waiting(), tries, "{reason}");
        assert!(vault.stored().await.is_empty());
    }
}

#[tokio::test]
async fn few_are_under_way_few_wait_and_the_rest_is_dropped() {
    const OFFERED: usize = QUEUE_RECORDS + 10;
    let mut vault = Vault::new(Answer::Status(204), &fingerprint(0));
    vault.hold();
    let enclave = Enclave::new(&vault);
    for number in 0..OFFERED {
        enclave.offer(fingerprint(number));
    }
    assert_eq!(enclave.reencryptor.waiting(), QUEUE_RECORDS);
    for _ in QUEUE_RECORDS..OFFERED {
        let (event, reason) = vault.event().await;
        assert_eq!(
            (event.as_str(), reason.as_str()),
            ("not_reencrypted", "busy")
        );
    }
    while vault.at_once_now() < PUT_AT_ONCE {
        tokio::task::yield_now().await;
    }
    vault.let_through(QUEUE_RECORDS);
    for _ in 0..QUEUE_RECORDS {
        assert_eq!(vault.event().await.0, "reencrypted");
    }
    assert_eq!(vault.most_at_once(), PUT_AT_ONCE);
    // What was dropped is tried by the next call.
    vault.let_through(1);
    enclave.offer(fingerprint(OFFERED - 1));
    assert_eq!(vault.event().await.0, "reencrypted");
}

#[test]
fn what_it_remembers_is_bounded() {
    let attempts = Attempts::default();
    for number in 0..=MAX_REMEMBERED {
        assert!(attempts.begin(fingerprint(number)));
        assert!(!attempts.begin(fingerprint(number)));
    }
    assert_eq!(attempts.lock().next.len(), MAX_REMEMBERED);
    assert!(attempts.is_due(&fingerprint(0)));
    assert!(!attempts.is_due(&fingerprint(1)));
}
