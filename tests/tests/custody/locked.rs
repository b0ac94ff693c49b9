//! A KMS key whose policy nobody can change, and what evidence says of it.
use std::fs;

use dauth_protocol::measurement::Pcr;
use dauth_tests::{Balancer, SecondEnclave, Stack};

use crate::fixture::{OtherProfile, key_policy, locked_key_policy, wait_until_idle};

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_told_to_expect_a_locked_key_serves_under_no_other() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let file = stack.file();
    let pcr = |index: &str| -> Pcr { file.trust.pcrs[index].parse().unwrap() };
    let present = (pcr("0"), pcr("16"));
    let locked = |configuration: &mut serde_json::Value| {
        configuration["kms"]["key_policy"] = "locked".into();
    };
    let mut second = SecondEnclave::alone(&stack, locked);
    let image = second.measurements();
    second.wait_until_ended();

    // An administrator can still change this policy.
    let policy = stack.dir().join("kms/key-policy.json");
    fs::write(&policy, key_policy(&stack, &[image])).unwrap();
    second.restart_enclave();
    let said = second.wait_until_ended();
    assert!(said.contains("unlocks the key: it allows kms:"), "{said}");

    // Locked, but another image may use the key as well.
    fs::write(&policy, locked_key_policy(&stack, &[image, present])).unwrap();
    second.restart_enclave();
    let said = second.wait_until_ended();
    assert!(said.contains("image"), "{said}");
    let keyset = stack.dir().join("second/keyset.cbor");
    assert!(
        !keyset.exists(),
        "nothing is made before the key is known to be locked"
    );

    fs::write(&policy, locked_key_policy(&stack, &[image])).unwrap();
    second.restart_enclave();
    second.wait_until_ready();
    let balancer = Balancer::start(&[second.ingress()]).await;
    let profile = OtherProfile::behind(&stack, &balancer, &[second.measurements()]);
    require_locked_key(&profile);
    let ran = stack.dauth(&[
        "--profile",
        profile.path().to_str().unwrap(),
        "attest",
        "fetch",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("locked"), "{ran:?}");

    // The stack's own enclave was not told to look.
    balancer.switch(&[&file.parent.ingress]);
    let ran = stack.dauth(&[
        "--profile",
        profile.path().to_str().unwrap(),
        "attest",
        "fetch",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("locked"), "{ran:?}");
}

fn require_locked_key(profile: &OtherProfile) {
    let text = fs::read_to_string(profile.path()).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let trust = table["trust"].as_table_mut().unwrap();
    trust.insert("locked_key".to_owned(), true.into());
    fs::write(profile.path(), table.to_string()).unwrap();
}
