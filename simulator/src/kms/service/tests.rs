//! Requests as an attacker would send them: signed, with documents of every kind but the right one.
use std::{fs, path::Path, sync::Arc};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use dauth_enclave::{
    kms::{
        envelope::Envelope,
        sigv4::{AmzDate, Scope, SignedRequest, Signer, authorization},
    },
    platform::{Attester, Claims, nsm::NsmAttester},
};
use dauth_protocol::{
    key_policy::{Administration, AttestedImage, KeyPolicy},
    measurement::Pcr,
};
use http::HeaderMap;

use super::*;
use crate::{
    kms::{
        key::{KeyState, Origin},
        master_key::MasterKey,
        policy_file::PolicyFile,
    },
    nsm::{Measurements, SimulatedNsm, SimulatorRoot},
};

mod keys;

const NOW_MS: u64 = 1_800_000_000_000;
const ROLE: &str = "arn:aws:iam::000000000000:role/parent";
const TESTER: &str = "arn:aws:iam::000000000000:user/tester";
const ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/k";
const OTHER_ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/other";
const IMAGE: u8 = 0x10;
const CONFIGURATION: &[u8] = b"configuration digest";

struct Bench {
    kms: Kms,
    root: SimulatorRoot,
    key: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
    state: tempfile::TempDir,
}

fn pcr(byte: u8) -> Pcr {
    Pcr::from([byte; 48])
}

fn principal(arn: &str) -> Principal {
    Principal {
        arn: arn.to_owned(),
        access_key_id: arn.replace([':', '/'], ""),
        secret_access_key: arn.to_owned(),
    }
}

/// Any image of `image`, under one configuration.
fn attested_policy(image: u8) -> String {
    let registers = [(0, pcr(image)), (16, Pcr::ZERO.extend(CONFIGURATION))];
    let policy = KeyPolicy {
        role: ROLE.parse().unwrap(),
        images: vec![AttestedImage::new(registers).unwrap()],
        administration: Administration::By(TESTER.parse().unwrap()),
    };
    policy.to_json()
}

fn key_of(state: &Path, arn: &str, policy: &str) -> Key {
    let file = |kind| state.join(format!("{kind}-{}", arn.rsplit('/').next().unwrap()));
    fs::write(file("policy"), policy).unwrap();
    Key {
        master: MasterKey::open_or_create(&file("master"), arn).unwrap(),
        policy: PolicyFile::new(file("policy")),
        origin: Origin::AwsKms,
        multi_region: false,
        state: KeyState::Enabled,
        grants: Vec::new(),
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_policy(&attested_policy(IMAGE))
    }

    fn with_policy(policy: &str) -> Self {
        let root = SimulatorRoot::create(NOW_MS / 1000).unwrap();
        let state = tempfile::tempdir().unwrap();
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        Self {
            kms: Kms {
                region: "eu-west-1".to_owned(),
                principals: vec![principal(ROLE), principal(TESTER)],
                keys: [ARN, OTHER_ARN]
                    .map(|arn| key_of(state.path(), arn, policy))
                    .into(),
                anchors: root.trust_anchors().unwrap(),
            },
            spki: key.public_key().as_der().unwrap().as_ref().to_vec(),
            key: OaepPrivateDecryptingKey::new(key).unwrap(),
            root,
            state,
        }
    }

    fn document_of(&self, image: u8, root: &SimulatorRoot, made_ms: u64) -> Vec<u8> {
        let measurements = Measurements {
            pcr0: pcr(image),
            pcr1: pcr(1),
            pcr2: pcr(2),
            role_arn: None,
            instance_id: "i-0123456789abcdef0".to_owned(),
        };
        let root = SimulatorRoot::from_pem(&root.to_pem()).unwrap();
        let nsm = SimulatedNsm::start(&measurements, root, Arc::new(move || made_ms)).unwrap();
        let nsm = NsmAttester::new(nsm);
        nsm.extend_pcr(16, CONFIGURATION).unwrap();
        nsm.lock_pcrs(32).unwrap();
        let claims = Claims {
            public_key: self.spki.clone(),
            ..Claims::default()
        };
        nsm.attest(&claims).unwrap()
    }

    fn document(&self) -> Vec<u8> {
        self.document_of(IMAGE, &self.root, NOW_MS)
    }

    fn ask(&self, arn: &str, operation: &str, body: &Value) -> Result<Value, &'static str> {
        let body = body.to_string();
        let date = AmzDate::from_unix_s(NOW_MS / 1000);
        let target = format!("TrentService.{operation}");
        let headers = [
            ("host", "kms.test"),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", &target),
        ];
        let Principal {
            access_key_id,
            secret_access_key,
            ..
        } = &principal(arn);
        let authorization = authorization(
            &Signer {
                access_key_id,
                secret_access_key,
            },
            &Scope {
                date: &date,
                region: "eu-west-1",
                service: "kms",
            },
            &SignedRequest {
                method: "POST",
                headers: &headers,
                body: body.as_bytes(),
            },
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        map.insert("authorization", authorization.parse().unwrap());
        let request = ReceivedRequest {
            headers: &map,
            body: body.as_bytes(),
        };
        let outcome = self.kms.answer(&request, NOW_MS);
        outcome.result.map_err(|refusal| refusal.code)
    }

    fn generate(&self, document: Option<&[u8]>) -> Result<Value, &'static str> {
        let mut body = json!({
            "KeyId": ARN, "KeySpec": "AES_256", "EncryptionContext": {"deployment": "d"},
        });
        if let Some(document) = document {
            body["Recipient"] = recipient(document);
        }
        self.ask(ROLE, "GenerateDataKey", &body)
    }
}

fn recipient(document: &[u8]) -> Value {
    json!({
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "AttestationDocument": BASE64_STANDARD.encode(document),
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn a_data_key_goes_to_the_recipient_alone_and_comes_back() {
    let bench = Bench::new();
    let open = |reply: &Value| {
        assert_eq!(reply["Plaintext"], "");
        assert_eq!(reply["KeyId"], ARN);
        let envelope = bytes(&reply["CiphertextForRecipient"]);
        Envelope::parse(&envelope)
            .unwrap()
            .open(&bench.key)
            .unwrap()
            .to_vec()
    };
    let generated = bench.generate(Some(&bench.document())).unwrap();
    let decrypt = |context: Value| {
        let body = json!({
            "CiphertextBlob": generated["CiphertextBlob"],
            "EncryptionContext": context,
            "Recipient": recipient(&bench.document()),
        });
        bench.ask(ROLE, "Decrypt", &body)
    };
    let decrypted = decrypt(json!({"deployment": "d"})).unwrap();
    assert_eq!(decrypted["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT");
    assert_eq!(open(&generated), open(&decrypted));
    assert_eq!(open(&generated).len(), 32);
    for context in [json!({}), json!({"deployment": "other"})] {
        assert_eq!(decrypt(context), Err("InvalidCiphertextException"));
    }
}

#[test]
fn the_policy_decides_by_what_the_document_proves() {
    let bench = Bench::new();
    assert_eq!(bench.generate(None), Err("AccessDeniedException"));
    let other_image = bench.document_of(0x20, &bench.root, NOW_MS);
    assert_eq!(
        bench.generate(Some(&other_image)),
        Err("AccessDeniedException")
    );
    let body = json!({
        "KeyId": ARN, "KeySpec": "AES_256", "Recipient": recipient(&bench.document()),
    });
    let refused = bench.ask(TESTER, "GenerateDataKey", &body);
    assert_eq!(refused, Err("AccessDeniedException"));
    let body = json!({"KeyId": ARN, "Plaintext": "AAAA"});
    assert_eq!(
        bench.ask(ROLE, "Encrypt", &body),
        Err("AccessDeniedException")
    );
}

#[test]
fn a_document_that_does_not_verify_is_no_document() {
    const INVALID: Result<Value, &str> = Err("ValidationException");
    let bench = Bench::new();
    let old = bench.document_of(IMAGE, &bench.root, NOW_MS - 301_000);
    assert_eq!(bench.generate(Some(&old)), INVALID);
    let almost_old = bench.document_of(IMAGE, &bench.root, NOW_MS - 299_000);
    assert!(bench.generate(Some(&almost_old)).is_ok());
    let other_root = SimulatorRoot::create(NOW_MS / 1000).unwrap();
    let forged = bench.document_of(IMAGE, &other_root, NOW_MS);
    assert_eq!(bench.generate(Some(&forged)), INVALID);
    let debug = bench.document_of(0, &bench.root, NOW_MS);
    assert_eq!(bench.generate(Some(&debug)), INVALID);
    assert_eq!(bench.generate(Some(b"")), INVALID);
    let mut changed = bench.document();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(bench.generate(Some(&changed)), INVALID);
    let mut without_key = Bench::new();
    without_key.spki.clear();
    assert_eq!(without_key.generate(Some(&without_key.document())), INVALID);
}

#[test]
fn requests_of_another_form_are_refused() {
    let bench = Bench::new();
    let document = bench.document();
    for (operation, change, code) in [
        ("CreateGrant", json!({}), "UnknownOperationException"),
        (
            "GenerateDataKey",
            json!({"KeyId": "another"}),
            "NotFoundException",
        ),
        (
            "GenerateDataKey",
            json!({"KeyId": null}),
            "ValidationException",
        ),
        (
            "GenerateDataKey",
            json!({"KeySpec": "AES_512"}),
            "ValidationException",
        ),
        (
            "GenerateDataKey",
            json!({"NumberOfBytes": 1}),
            "ValidationException",
        ),
        (
            "GenerateDataKey",
            json!({"Recipient": "x"}),
            "SerializationException",
        ),
        ("Encrypt", json!({}), "ValidationException"),
        (
            "Decrypt",
            json!({"CiphertextBlob": "%"}),
            "ValidationException",
        ),
        (
            "Decrypt",
            json!({"CiphertextBlob": "AAAA"}),
            "InvalidCiphertextException",
        ),
    ] {
        let mut body = json!({
            "KeyId": ARN, "KeySpec": "AES_256", "Recipient": recipient(&document),
        });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(
            bench.ask(ROLE, operation, &body),
            Err(code),
            "{operation} {change}"
        );
    }
}

/// What an administrator can do who lets someone use the key without attestation: the reason why
/// the generated policy denies it, and why the enclave asks for a birth document.
#[test]
fn a_careless_policy_lets_a_principal_know_data_keys() {
    let careless = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": TESTER}, "Action": "kms:*", "Resource": "*",
    }]});
    let bench = Bench::with_policy(&careless.to_string());
    let body = json!({"KeyId": ARN, "KeySpec": "AES_256"});
    let generated = bench.ask(TESTER, "GenerateDataKey", &body).unwrap();
    assert_eq!(bytes(&generated["Plaintext"]).len(), 32);
    let body = json!({"KeyId": ARN, "Plaintext": generated["Plaintext"]});
    let wrapped = bench.ask(TESTER, "Encrypt", &body).unwrap();
    let body = json!({"CiphertextBlob": wrapped["CiphertextBlob"]});
    let opened = bench.ask(TESTER, "Decrypt", &body).unwrap();
    assert_eq!(opened["Plaintext"], generated["Plaintext"]);
}
