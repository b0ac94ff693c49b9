use dauth_protocol::{
    AdmissionReceipt, Fingerprint, Injection, Owner, key_configuration::Kem, policy::Limits,
};
use dauth_sealing::{RecordKey, SealedRecord};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::*;
use crate::{authorize::tests::fixture::*, deposit::tests::TestReceiptKey, open::ConnectionName};

mod fleet;
mod sender;
use sender::{Random, seal};

const SECRET: &[u8] = b"sk-test-0123456789abcdef";

fn policy() -> Vec<u8> {
    let policy = Policy {
        version: 1,
        base_url: "https://api.example.com".parse().unwrap(),
        injection: Injection::Bearer {},
        rules: Vec::new(),
        servers: Vec::new(),
        request_headers: Vec::new(),
        limits: Limits::default(),
    };
    policy.to_json().unwrap()
}

fn header(parties: &Parties) -> EnvelopeHeader {
    EnvelopeHeader {
        layout: 1,
        handle: HANDLE.parse().unwrap(),
        owner: Owner {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            thumbprint: parties.owner.thumbprint(),
        },
        tenant: TENANT.into(),
        audience: AUDIENCE.into(),
        policy: ByteBuf::from(policy()),
        version: 2,
        expires: NOW_S + 600,
        record_expires: NOW_S + 3600,
    }
}

struct Fixture {
    parties: Parties,
    caller: Authenticated,
    recipient: RecipientKey,
    record_key: RecordKey,
    receipt_key: TestReceiptKey,
    versions: Versions,
}

impl Fixture {
    async fn new() -> Self {
        let parties = Parties::new();
        Self {
            caller: parties.authenticated(&parties.owner_claims()).await,
            parties,
            recipient: RecipientKey::generate(Kem::X25519, [1; 8], &mut Random).unwrap(),
            record_key: RecordKey::new([2; 8], Zeroizing::new([7; 32])).unwrap(),
            receipt_key: TestReceiptKey::new(),
            versions: Versions::default(),
        }
    }

    fn admit(&self, envelope: &[u8]) -> Result<(Vec<u8>, AdmissionReceipt), Refusal> {
        self.admit_by(&self.caller, envelope)
    }

    fn admit_by(
        &self,
        caller: &Authenticated,
        envelope: &[u8],
    ) -> Result<(Vec<u8>, AdmissionReceipt), Refusal> {
        let admission = Admission {
            caller,
            envelope,
            audience: AUDIENCE,
            versions: &self.versions,
            now_s: NOW_S,
        };
        let (envelope, policy) = check(&admission)?;
        let keys = DepositKeys::new(&self.record_key, &self.receipt_key);
        let deposit = reseal(&admission, envelope, &policy, &self.recipient, &keys)?;
        Ok((deposit.record().to_vec(), deposit.receipt().clone()))
    }

    fn envelope(&self, change: impl FnOnce(&mut EnvelopeHeader)) -> Vec<u8> {
        let mut header = header(&self.parties);
        change(&mut header);
        seal(&self.recipient, &header, SECRET)
    }

    fn refused(&self, envelope: &[u8]) -> (Code, &'static str) {
        let refusal = self.admit(envelope).expect_err("refused");
        (refusal.code, refusal.detail)
    }
}

#[tokio::test]
async fn a_record_binds_what_the_envelope_said() {
    let fixture = Fixture::new().await;
    let (record, receipt) = fixture.admit(&fixture.envelope(|_| {})).unwrap();
    assert_eq!(
        receipt.fingerprint.as_slice(),
        Fingerprint::of(&record).as_bytes()
    );
    assert_eq!(
        receipt.policy_sha256.as_slice(),
        Sha256::digest(policy()).as_slice()
    );
    assert_eq!((receipt.version, receipt.admitted), (2, NOW_S));
    let opened = SealedRecord::parse(&record)
        .unwrap()
        .open(&fixture.record_key)
        .unwrap();
    assert_eq!(opened.secret.expose(), SECRET);
    let expected = header(&fixture.parties);
    assert_eq!(
        opened.header,
        RecordHeader {
            layout: 1,
            handle: expected.handle,
            owner: expected.owner,
            tenant: expected.tenant,
            policy: expected.policy,
            version: 2,
            created: NOW_S,
            expires: NOW_S + 3600,
        }
    );
}

#[tokio::test]
async fn each_disagreement_is_refused() {
    type Change = fn(&mut EnvelopeHeader);
    let cases: [(Change, Code, &str); 12] = [
        (
            |h| h.owner.subject.push('x'),
            Code::InvalidToken,
            "the envelope names another owner than the token and its proof",
        ),
        (
            |h| h.owner.issuer.push('/'),
            Code::InvalidToken,
            "the envelope names another owner than the token and its proof",
        ),
        (
            |h| h.owner.thumbprint = "a".repeat(43),
            Code::InvalidToken,
            "the envelope names another owner than the token and its proof",
        ),
        (
            |h| h.tenant.push('x'),
            Code::OrgMismatch,
            "the envelope names another tenant than the token",
        ),
        (
            |h| h.audience.push('/'),
            Code::InvalidRequest,
            "the envelope is addressed to another enclave",
        ),
        (
            |h| h.expires = NOW_S,
            Code::InvalidRequest,
            "the envelope has expired; seal it again",
        ),
        (
            |h| h.expires = NOW_S + 601,
            Code::InvalidRequest,
            "the envelope's expiry is more than ten minutes ahead",
        ),
        (
            |h| h.record_expires = NOW_S,
            Code::InvalidRequest,
            "the connection would have expired already",
        ),
        (
            |h| h.record_expires = NOW_S + MAX_RECORD_LIFE_S + 1,
            Code::InvalidRequest,
            "the connection's expiry is more than a year ahead",
        ),
        (
            |h| h.version = 0,
            Code::InvalidRequest,
            "the envelope's version is not higher than the connection's",
        ),
        (
            |h| h.policy = ByteBuf::from(*b"{}"),
            Code::InvalidRequest,
            "the envelope's policy is not one that this build enforces",
        ),
        (
            |h| h.layout = 2,
            Code::InvalidRequest,
            "the body is not an envelope that this build reads",
        ),
    ];
    let fixture = Fixture::new().await;
    for (change, code, detail) in cases {
        assert_eq!(fixture.refused(&fixture.envelope(change)), (code, detail));
    }
}

#[tokio::test]
async fn a_version_up_to_one_that_was_used_is_refused() {
    let fixture = Fixture::new().await;
    let header = header(&fixture.parties);
    let connection = ConnectionName::of(&header.owner, &header.handle);
    assert!(fixture.versions.note(connection, 3));
    let detail = "the envelope's version is not higher than the connection's";
    for version in [2, 3] {
        let refused = fixture.refused(&fixture.envelope(|h| h.version = version));
        assert_eq!(refused, (Code::InvalidRequest, detail));
    }
    assert!(fixture.admit(&fixture.envelope(|h| h.version = 4)).is_ok());
}

#[tokio::test]
async fn a_server_admits_nothing() {
    let fixture = Fixture::new().await;
    let claims = fixture.parties.server_claims();
    let server = fixture.parties.authenticated(&claims).await;
    let refusal = fixture
        .admit_by(&server, &fixture.envelope(|_| {}))
        .unwrap_err();
    assert_eq!(refusal.code, Code::InvalidToken);
    assert_eq!(refusal.detail, "admission needs an owner's access token");
}

#[tokio::test]
async fn an_envelope_that_does_not_open_is_refused() {
    let fixture = Fixture::new().await;
    let mut altered = fixture.envelope(|_| {});
    *altered.last_mut().unwrap() ^= 1;
    let other_key = RecipientKey::generate(Kem::X25519, [1; 8], &mut Random).unwrap();
    let other = seal(&other_key, &header(&fixture.parties), SECRET);
    let detail = "the envelope does not open; it was altered or made for another key";
    for envelope in [altered, other] {
        assert_eq!(fixture.refused(&envelope), (Code::DecryptionFailed, detail));
    }
    assert_eq!(fixture.refused(b"x").0, Code::InvalidRequest);
}

#[tokio::test]
async fn a_secret_of_the_wrong_form_is_refused() {
    let fixture = Fixture::new().await;
    for secret in [&b"short"[..], b"0123456789abcdef\r\nHost: evil"] {
        let envelope = seal(&fixture.recipient, &header(&fixture.parties), secret);
        assert_eq!(fixture.refused(&envelope).0, Code::InvalidRequest);
    }
}
