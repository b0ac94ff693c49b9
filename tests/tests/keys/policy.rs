//! `dauth kms-policy`: JSON on stdout whatever else is said, notes on stderr, and the very policy
//! that a stack's KMS enforces.
use std::fs;

use dauth_tests::{Ran, Stack};
use serde_json::Value;

use crate::{dauth, json, refused};

const ROLE: &str = "arn:aws:iam::123456789012:role/dauth-parent";
const ADMINISTRATOR: &str = "arn:aws:iam::123456789012:role/keys";
const USUAL: [&str; 7] = [
    "kms-policy",
    "--account",
    "123456789012",
    "--region",
    "eu-west-1",
    "--role",
    ROLE,
];

fn pcr(index: u16, byte: u8) -> String {
    format!("--pcr={index}={}", hex::encode([byte; 48]))
}

fn kms_policy(options: &[&str]) -> Ran {
    dauth(&[&USUAL, options].concat())
}

/// For one image.
fn policy_of_one(options: &[&str]) -> Ran {
    let (image, configuration) = (pcr(0, 1), pcr(16, 2));
    kms_policy(&[&[image.as_str(), configuration.as_str()], options].concat())
}

/// The statements that let an attested image use the key: their conditions.
fn attested(policy: &Value) -> Vec<&Value> {
    let statements = policy["Statement"].as_array().unwrap();
    let conditions = statements
        .iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| &statement["Condition"]["StringEqualsIgnoreCase"]);
    conditions
        .filter(|condition| !condition.is_null())
        .collect()
}

/// Whether anybody may replace the policy.
fn can_be_replaced(policy: &Value) -> bool {
    let allowed = policy["Statement"].as_array().unwrap().iter();
    let mut actions = allowed
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| statement["Action"].to_string());
    actions.any(|actions| actions.contains("kms:PutKeyPolicy") || actions.contains("kms:*"))
}

#[test]
fn every_mode_prints_json_and_its_notes_beside_it() {
    let (image, configuration) = (pcr(0, 3), pcr(16, 4));
    let second = [image.as_str(), configuration.as_str()];
    let modes: [&[&str]; 5] = [
        &[],
        &["--lock"],
        &["--admin", ADMINISTRATOR],
        &["--lock", "--admin", ADMINISTRATOR],
        &second,
    ];
    for mode in modes {
        let with_notes = policy_of_one(mode);
        let policy = json(&with_notes);
        let is_locked = mode.contains(&"--lock");
        assert_eq!(can_be_replaced(&policy), !is_locked, "{policy:#}");
        let notes = with_notes.stderr.as_str();
        let heading = if is_locked {
            "LOCKED FOR EVER"
        } else {
            "NOT LOCKED"
        };
        assert!(notes.contains(heading), "{notes}");
        let bypasses = notes.contains("--bypass-policy-lockout-safety-check");
        assert_eq!(bypasses, is_locked, "{notes}");
        if let Some(named) = mode.iter().find(|option| **option == ADMINISTRATOR) {
            assert!(notes.contains(named), "{notes}");
        }

        let alone = policy_of_one(&[mode, &["--json"]].concat());
        assert_eq!(alone.stderr, "", "{mode:?}");
        assert_eq!(alone.stdout, with_notes.stdout, "{mode:?}");
    }
}

#[test]
fn each_image_has_a_statement_of_its_own() {
    let pcrs = [pcr(0, 1), pcr(16, 2), pcr(8, 5), pcr(0, 3), pcr(16, 4)];
    let pcrs: Vec<&str> = pcrs.iter().map(String::as_str).collect();
    let policy = json(&kms_policy(&pcrs));
    let value = |byte: u8| Value::from(hex::encode([byte; 48]));
    let attested = attested(&policy);
    let [first, second] = attested.as_slice() else {
        panic!("{policy:#}");
    };
    assert_eq!(first["kms:RecipientAttestation:ImageSha384"], value(1));
    assert_eq!(first["kms:RecipientAttestation:PCR16"], value(2));
    assert_eq!(first["kms:RecipientAttestation:PCR8"], value(5));
    assert_eq!(second["kms:RecipientAttestation:ImageSha384"], value(3));
    assert_eq!(second["kms:RecipientAttestation:PCR16"], value(4));
    assert_eq!(second.as_object().unwrap().len(), 2);
}

#[test]
fn what_would_guard_nothing_is_refused() {
    let (image, configuration, signer) = (pcr(0, 1), pcr(16, 2), pcr(8, 3));
    refused(&kms_policy(&[]), &["PCR0 is missing"]);
    refused(&kms_policy(&[&signer]), &["PCR0 is missing", "PCR8 alone"]);
    refused(&kms_policy(&[&configuration]), &["PCR0 is missing"]);
    refused(&kms_policy(&[&image]), &["PCR16 is missing"]);
    refused(
        &kms_policy(&[&image, &configuration, &image]),
        &["image 2: PCR16 is missing"],
    );
    // Of an enclave in debug mode.
    refused(&kms_policy(&[&pcr(0, 0), &configuration]), &["PCR0"]);
    refused(&policy_of_one(&["--admin", ROLE]), &["--admin"]);
    let elsewhere = "arn:aws:iam::210987654321:role/keys";
    refused(
        &policy_of_one(&["--admin", elsewhere]),
        &["another account"],
    );
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let (image, configuration) = (pcr(0, 1), pcr(16, 2));
    let options = [
        ("--account", "123456789012"),
        ("--region", "eu-west-1"),
        ("--role", ROLE),
    ];
    let with = |name: &str, value: Option<&str>| {
        let mut arguments = vec!["kms-policy", &image, &configuration];
        for (option, usual) in options {
            match value {
                _ if option != name => arguments.extend([option, usual]),
                Some(value) => arguments.extend([option, value]),
                None => {}
            }
        }
        dauth(&arguments)
    };
    assert_eq!(with("", None).code, 0);
    for (name, value) in [
        ("--account", Some("12345678901")),
        ("--account", Some("12345678901a")),
        ("--account", None),
        ("--region", Some("europe")),
        ("--role", Some("dauth-parent")),
        ("--role", Some("arn:aws:iam::123456789012:root")),
    ] {
        let ran = with(name, value);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(name), "{ran:?}");
    }
    for pcr in ["0", "32=00", "0=00", "x=00"] {
        let ran = policy_of_one(&["--pcr", pcr]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains("--pcr"), "{ran:?}");
    }
    let ran = policy_of_one(&[&configuration]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("more than once"), "{ran:?}");
}

/// The policy that the stack's KMS enforces is the one that the command prints, to the byte.
pub(crate) fn assert_printed_as_enforced(stack: &Stack) {
    let enforced = fs::read_to_string(stack.dir().join("kms/key-policy.json")).unwrap();
    let pcrs = stack.file().trust.pcrs;
    let printed = of_stack(stack, &pcrs["0"]);
    assert_eq!(printed, format!("{enforced}\n"));
}

/// What the command prints for the stack's role and configuration, and an image.
pub(crate) fn of_stack(stack: &Stack, pcr0: &str) -> String {
    let pcr16 = &stack.file().trust.pcrs["16"];
    let ran = dauth(&[
        "kms-policy",
        "--account",
        "000000000000",
        "--region",
        "eu-west-1",
        "--role",
        "arn:aws:iam::000000000000:role/dauth-simulation",
        "--pcr",
        &format!("0={pcr0}"),
        "--pcr",
        &format!("16={pcr16}"),
        "--json",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}
