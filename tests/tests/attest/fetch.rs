//! Evidence of a stack, as its clients fetch it.
use std::{fs, path::Path};

use dauth_tests::Stack;
use serde_json::Value;

use crate::{accepted, refused, verify};

#[test]
fn evidence_of_a_stack_is_fetched_and_judged_by_the_profile() {
    let stack = Stack::start();
    let file = stack.file();
    let saved = stack.dir().join("document");
    let saved = saved.to_str().unwrap();

    let fetched = stack.dauth(&["attest", "fetch", "--json", "--output", saved]);
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    let json: Value = serde_json::from_str(&fetched.stdout).unwrap();
    for (index, value) in &file.trust.pcrs {
        assert_eq!(json["pcrs"][index], value.as_str(), "PCR{index}");
    }
    // The tag of `docs/wire.md`, then a SHA-384.
    let user_data = hex::decode(json["user_data"].as_str().unwrap()).unwrap();
    assert!(user_data.starts_with(b"dauth-evidence-v1:"));
    assert_eq!(user_data.len(), b"dauth-evidence-v1:".len() + 48);

    assert_keys_are_shown(&stack, &json);

    // What was fetched verifies offline, by the simulation's root alone.
    let root = file.trust.root.to_str().unwrap();
    let nonce = json["nonce"].as_str().unwrap();
    let pcr16 = format!("16={}", file.trust.pcrs["16"]);
    let pinned = [
        "--root",
        root,
        "--nonce",
        nonce,
        "--pcr",
        &pcr16,
        "--max-age",
        "1h",
    ];
    accepted(&verify(Path::new(saved), &pinned));
    refused(&verify(Path::new(saved), &[]), "pinned root");
    refused(
        &verify(
            Path::new(saved),
            &["--root", file.ca.cert.to_str().unwrap()],
        ),
        "",
    );

    // Another nonce each time.
    let again = stack.dauth(&["attest", "fetch", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_ne!(again["nonce"], json["nonce"]);

    // A profile that pins another image or another configuration refuses this enclave.
    let profile = fs::read_to_string(&file.profile).unwrap();
    for index in ["0", "16"] {
        let changed = profile.replace(&file.trust.pcrs[index], &"5a".repeat(48));
        assert_ne!(changed, profile);
        let other = stack.dir().join(format!("other-{index}.toml"));
        fs::write(&other, changed).unwrap();
        let ran = stack.dauth(&["--profile", other.to_str().unwrap(), "attest", "fetch"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("PCR{index} ")),
            "{}",
            ran.stderr
        );
    }
    let ran = stack.dauth(&["attest", "fetch", "--ingress", "127.0.0.1:1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

/// What evidence says of the keyset and of the KMS key that guards it, as JSON and as text.
fn assert_keys_are_shown(stack: &Stack, json: &Value) {
    let deployment = fs::read(stack.dir().join("parent/deployment.json")).unwrap();
    let deployment: Value = serde_json::from_slice(&deployment).unwrap();
    let arn = &deployment["kms"]["key_arn"];
    let claims = stack.dauth(&["keys", "status", "--offline", "--json"]);
    let claims: Value = serde_json::from_str(&claims.stdout).unwrap();
    let id = claims["claims"]["keyset_id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(json["keyset"]["id"], id);
    assert_eq!(json["keyset"]["generation"], 1);
    assert_eq!(json["kms_key"]["arn"], *arn);
    assert_eq!(json["kms_key"]["policy"], "unchecked");
    assert_eq!(json["audience"], stack.file().enclave.resource.as_str());

    let text = stack.dauth(&["attest", "fetch"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
    let arn = arn.as_str().unwrap();
    for (name, value) in [
        ("keyset", id),
        ("generation", "1"),
        ("KMS key", arn),
        ("audience", &stack.file().enclave.resource),
    ] {
        let line = format!("{name:<12} {value}");
        assert!(text.stdout.lines().any(|shown| shown == line), "{text:?}");
    }
    let policy = "key policy   not locked: the key's administrators can let another image open";
    assert!(text.stdout.contains(policy), "{text:?}");
}
