//! The key policy that operators are given, as KMS decides under it: every action on a key, for
//! everybody who may try.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::collections::BTreeMap;

use dauth_protocol::{
    key_policy::{self, Administration, AttestedImage},
    measurement::Pcr,
};
use dauth_simulator::kms::policy::{Access, Decision, KeyPolicy};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::123456789012:role/parent";
const OTHER_ROLE: &str = "arn:aws:iam::123456789012:role/other";
const ADMINISTRATOR: &str = "arn:aws:iam::123456789012:role/administrator";
const ROOT: &str = "arn:aws:iam::123456789012:root";
const STRANGER: &str = "arn:aws:iam::999999999999:role/parent";

/// Each action of KMS that concerns a key, sorted by who may ever do it under a policy of ours.
const ATTESTED: [&str; 2] = ["Decrypt", "GenerateDataKey"];
const SEEN_BY_THE_ROLE: [&str; 3] = ["DescribeKey", "GetKeyPolicy", "ListGrants"];
const SEEN_OR_STOPPED_BY_THE_HOLDER: [&str; 11] = [
    "CancelKeyDeletion",
    "DescribeKey",
    "DisableKey",
    "EnableKey",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListGrants",
    "ListKeyPolicies",
    "ListResourceTags",
    "RevokeGrant",
    "ScheduleKeyDeletion",
];
const CHANGED_BY_AN_ADMINISTRATOR: [&str; 11] = [
    "CreateAlias",
    "DeleteAlias",
    "DisableKeyRotation",
    "EnableKeyRotation",
    "ListKeyRotations",
    "PutKeyPolicy",
    "RotateKeyOnDemand",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
];
const DONE_BY_NOBODY: [&str; 23] = [
    "CreateGrant",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "GetKeyLastUsage",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListRetirableGrants",
    "ReEncryptFrom",
    "ReEncryptTo",
    "ReplicateKey",
    "RetireGrant",
    "Sign",
    "SynchronizeMultiRegionKey",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
];

fn pcr(byte: u8) -> Pcr {
    Pcr::from([byte; 48])
}

/// Two images, as during an upgrade; the second pins its signer as well.
fn images() -> Vec<AttestedImage> {
    vec![
        AttestedImage::new([(0, pcr(0x10)), (16, pcr(0x11))]).unwrap(),
        AttestedImage::new([(0, pcr(0x20)), (16, pcr(0x21)), (8, pcr(0x22))]).unwrap(),
    ]
}

fn generated(administration: Administration) -> Value {
    let policy = key_policy::KeyPolicy {
        role: ROLE.parse().unwrap(),
        images: images(),
        administration,
    };
    serde_json::from_str(&policy.to_json()).unwrap()
}

fn parsed(policy: &Value) -> KeyPolicy {
    KeyPolicy::from_json(policy.to_string().as_bytes()).unwrap()
}

/// Somebody, with the registers that his attestation document proves.
struct Caller {
    what: &'static str,
    principal: &'static str,
    registers: Vec<(u16, Pcr)>,
}

impl Caller {
    fn new(what: &'static str, principal: &'static str, registers: &[(u16, u8)]) -> Self {
        let registers = registers.iter().map(|(index, byte)| (*index, pcr(*byte)));
        Self {
            what,
            principal,
            registers: registers.collect(),
        }
    }

    /// What KMS knows of a document: PCR0 under two names.
    fn context(&self) -> BTreeMap<String, String> {
        let name = |index: u16| format!("kms:RecipientAttestation:PCR{index}");
        let image = self.registers.iter().find(|(index, _)| *index == 0);
        let image = image.map(|(_, value)| {
            let name = "kms:RecipientAttestation:ImageSha384".to_owned();
            (name, value.to_string())
        });
        self.registers
            .iter()
            .map(|(index, value)| (name(*index), value.to_string()))
            .chain(image)
            .collect()
    }

    fn may(&self, policy: &KeyPolicy, action: &str) -> bool {
        let access = Access {
            principal: self.principal,
            action: &format!("kms:{action}"),
            context: self.context(),
        };
        policy.decide(&access) == Decision::Allowed
    }
}

const FIRST: [(u16, u8); 3] = [(0, 0x10), (8, 0x22), (16, 0x11)];
const SECOND: [(u16, u8); 3] = [(0, 0x20), (8, 0x22), (16, 0x21)];

fn named_images() -> [Caller; 2] {
    [
        Caller::new("the first image", ROLE, &FIRST),
        Caller::new("the second image", ROLE, &SECOND),
    ]
}

fn others_with_the_role() -> Vec<Caller> {
    let caller = |what, registers: &[(u16, u8)]| Caller::new(what, ROLE, registers);
    vec![
        caller("nobody attested", &[]),
        caller("another image", &[(0, 0x30), (8, 0x22), (16, 0x11)]),
        caller("another configuration", &[(0, 0x10), (8, 0x22), (16, 0x31)]),
        caller("no configuration", &[(0, 0x10), (8, 0x22)]),
        caller(
            "the first image, the second's configuration",
            &[(0, 0x10), (8, 0x22), (16, 0x21)],
        ),
        caller(
            "the second image, the first's configuration",
            &[(0, 0x20), (8, 0x22), (16, 0x11)],
        ),
        caller("another signer", &[(0, 0x20), (8, 0x32), (16, 0x21)]),
        caller("PCR0 as PCR1", &[(1, 0x10), (8, 0x22), (16, 0x11)]),
        caller("debug mode", &[(0, 0), (8, 0), (16, 0x11)]),
    ]
}

fn others() -> Vec<Caller> {
    [OTHER_ROLE, STRANGER, ADMINISTRATOR, ROOT]
        .into_iter()
        .flat_map(|principal| {
            [
                Caller::new("another principal", principal, &[]),
                Caller::new("another principal in a named image", principal, &FIRST),
                Caller::new(
                    "another principal in his own image",
                    principal,
                    &[(0, 0x30), (16, 0x31)],
                ),
            ]
        })
        .collect()
}

/// Whom the rest of a policy, its administration, is for.
#[derive(Clone, Copy)]
enum Holder {
    Changes(&'static str),
    Destroys(&'static str),
}

impl Holder {
    fn may(self, principal: &str, action: &str) -> bool {
        let (holder, changes) = match self {
            Self::Changes(holder) => (holder, true),
            Self::Destroys(holder) => (holder, false),
        };
        principal == holder
            && (SEEN_OR_STOPPED_BY_THE_HOLDER.contains(&action)
                || (changes && CHANGED_BY_AN_ADMINISTRATOR.contains(&action)))
    }
}

fn check(policy: &Value, holder: Holder) {
    let policy = parsed(policy);
    let actions = ATTESTED
        .iter()
        .chain(&SEEN_OR_STOPPED_BY_THE_HOLDER)
        .chain(&CHANGED_BY_AN_ADMINISTRATOR)
        .chain(&DONE_BY_NOBODY);
    for action in actions {
        let judge = |caller: &Caller, expected: bool| {
            let Caller {
                what, principal, ..
            } = caller;
            let may = caller.may(&policy, action);
            assert_eq!(may, expected, "{action} by {principal}, {what}");
        };
        let seen = SEEN_BY_THE_ROLE.contains(action);
        for caller in named_images() {
            judge(&caller, seen || ATTESTED.contains(action));
        }
        for caller in others_with_the_role() {
            judge(&caller, seen);
        }
        for caller in others() {
            judge(&caller, holder.may(caller.principal, action));
        }
    }
}

#[test]
fn named_images_use_the_key_and_nobody_else_does() {
    for administrator in [ADMINISTRATOR, ROOT] {
        let policy = generated(Administration::By(administrator.parse().unwrap()));
        check(&policy, Holder::Changes(administrator));
    }
}

#[test]
fn nobody_changes_a_locked_policy() {
    for holder in [ADMINISTRATOR, ROOT] {
        let policy = generated(Administration::Locked(holder.parse().unwrap()));
        check(&policy, Holder::Destroys(holder));
    }
}

fn with_statement(mut policy: Value, statement: Value) -> Value {
    policy["Statement"].as_array_mut().unwrap().push(statement);
    policy
}

fn without_denials(mut policy: Value) -> Value {
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.retain(|statement| statement["Effect"] == "Allow");
    policy
}

/// A statement that an administrator adds to be helpful. What the policy denies keeps the damage to
/// attested use, and without the denials he could plant keys of his own.
#[test]
fn a_statement_too_many_lets_nobody_plant_or_read_a_key() {
    let careless = json!({"Effect": "Allow", "Principal": {"AWS": OTHER_ROLE},
                          "Action": "kms:*", "Resource": "*"});
    let policy = generated(Administration::By(ROOT.parse().unwrap()));
    let guarded = parsed(&with_statement(policy.clone(), careless.clone()));
    let open = parsed(&with_statement(without_denials(policy), careless));
    let unattested = Caller::new("nobody attested", OTHER_ROLE, &[]);
    for action in [
        "Decrypt",
        "GenerateDataKey",
        "Encrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "CreateGrant",
        "ReplicateKey",
        "ImportKeyMaterial",
        "UpdatePrimaryRegion",
        "GenerateDataKeyPair",
        "GenerateDataKeyWithoutPlaintext",
        "DeriveSharedSecret",
    ] {
        assert!(!unattested.may(&guarded, action), "{action}");
        assert!(unattested.may(&open, action), "{action}");
    }
    // What no denial stops, and why clients may ask for a locked key: an image of his own.
    let own_image = Caller::new("his own image", OTHER_ROLE, &[(0, 0x30), (16, 0x31)]);
    assert!(own_image.may(&guarded, "Decrypt"));
}

/// The same, added before the key was locked: even then nobody changes it any more.
#[test]
fn a_lock_holds_against_a_statement_too_many() {
    let careless = json!({"Effect": "Allow", "Principal": {"AWS": [OTHER_ROLE, ROOT]},
                          "Action": "kms:Put*", "Resource": "*"});
    let policy = generated(Administration::Locked(ROOT.parse().unwrap()));
    let locked = parsed(&with_statement(policy.clone(), careless.clone()));
    let open = parsed(&with_statement(without_denials(policy), careless));
    for principal in [OTHER_ROLE, ROOT] {
        let caller = Caller::new("nobody attested", principal, &[]);
        assert!(!caller.may(&locked, "PutKeyPolicy"), "{principal}");
        assert!(caller.may(&open, "PutKeyPolicy"), "{principal}");
    }
}
