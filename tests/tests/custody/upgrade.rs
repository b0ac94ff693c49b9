//! From one image to the next, and from one KMS key to the next, while calls go on.
use std::fs;

use dauth_protocol::measurement::Pcr;
use dauth_tests::{Balancer, Load, SecondEnclave, Stack, wait_until};

use crate::fixture::{
    OtherProfile, attested_generation, connection, fingerprint, key_policy, keys, kill,
    wait_until_idle,
};

const CALLS: u64 = 40;
const NEXT_PCR0: [u8; 48] = [0x77; 48];
const NEXT_KEY: &str =
    "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000001";

/// Gives the simulated KMS a second key, with the policy in `kms/next-policy.json`.
fn add_kms_key(stack: &Stack, policy: &str) {
    let kms = stack.dir().join("kms");
    fs::write(kms.join("next-policy.json"), policy).unwrap();
    let file = kms.join("config.toml");
    let mut table: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let keys = table["keys"].as_array_mut().unwrap();
    let mut next = keys[0].as_table().unwrap().clone();
    for (field, value) in [
        ("key_arn", NEXT_KEY.to_owned()),
        (
            "key_policy_file",
            kms.join("next-policy.json").display().to_string(),
        ),
        (
            "master_key_file",
            kms.join("next-master-key").display().to_string(),
        ),
    ] {
        next[field] = value.into();
    }
    keys.push(next.into());
    fs::write(&file, table.to_string()).unwrap();
    let before = stack.file().kms.pid;
    kill("-KILL", before);
    wait_until("KMS is started again", || stack.file().kms.pid != before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_image_and_kms_key_under_load_fails_no_call() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (upstream, handle) = connection(&stack).await;
    let file = stack.file();
    let pcr = |index: &str| -> Pcr { file.trust.pcrs[index].parse().unwrap() };
    let present = (pcr("0"), pcr("16"));

    // The next image, with the present one as its predecessor, wraps under another KMS key.
    let change = |configuration: &mut serde_json::Value| {
        let mut next = configuration["kms"].clone();
        next["key_arn"] = NEXT_KEY.into();
        configuration["former_kms"] = serde_json::json!([configuration["kms"]]);
        configuration["kms"] = next;
        configuration["predecessors"] = serde_json::json!([
            {"pcr0": present.0.to_string(), "pcr16": present.1.to_string()}
        ]);
    };
    let mut second = SecondEnclave::of_image(&stack, NEXT_PCR0.into(), change);
    let next = second.measurements();
    let balancer = Balancer::start(&[&file.parent.ingress]).await;
    let profile = OtherProfile::behind(&stack, &balancer, &[next]);
    let mut load = Load::new();
    load.add_owners(3, profile.path(), &handle);
    load.add_connectors(1, profile.path(), &upstream.base_url());
    load.goes_on(CALLS).await;

    // 1. Both images may use the present key, the next image alone the next key.
    let said = second.wait_until_ended();
    assert!(
        said.contains("KMS"),
        "before KMS knows it, it does not boot: {said}"
    );
    let policy = stack.dir().join("kms/key-policy.json");
    fs::write(&policy, key_policy(&stack, &[present, next])).unwrap();
    add_kms_key(&stack, &key_policy(&stack, &[next]));
    second.restart_enclave();
    second.wait_until_ready();
    load.goes_on(CALLS).await;

    // 2. New sessions go to the next image; the present one sends its peers there and ends.
    balancer.switch(&[second.ingress()]);
    kill("-TERM", file.enclave.pid);
    wait_until("the present image ends", || {
        stack.file().enclave.pid != file.enclave.pid
    });
    // `dauth simulate` starts it again; an operator would not.
    kill("-STOP", stack.file().enclave.pid);
    load.goes_on(CALLS).await;

    // 3. All keys anew, by the next image, under the next key.
    let before = fingerprint(&stack, &handle);
    keys(&stack, &["rotate"]);
    load.goes_on(CALLS).await;
    assert_eq!(attested_generation(&stack, profile.path()), 2);
    wait_until("the record is under the new key", || {
        fingerprint(&stack, &handle) != before
    });

    // 4. The present image loses its rights, and the present key its use.
    fs::write(&policy, key_policy(&stack, &[next])).unwrap();
    let served = load.assert_none_failed().await;
    println!("{served} calls served while image and KMS key changed");
    second.restart_enclave();
    second.wait_until_ready();
    let stopped = stack.file().enclave.pid;
    kill("-CONT", stopped);
    kill("-KILL", stopped);
    wait_until("the image that was replaced does not boot", || {
        let log = fs::read_to_string(stack.dir().join("logs/enclave.log")).unwrap();
        let last = log.lines().last().unwrap_or_default().to_owned();
        last.contains("keyset") || last.contains("KMS")
    });
    assert_eq!(attested_generation(&stack, profile.path()), 2);
}
