//! Keys that change while calls go on, in a fleet of two.
use dauth_tests::{Balancer, Load, SecondEnclave, Stack, wait_until};

use crate::fixture::{
    OtherProfile, attested_generation, connection, fingerprint, keys, wait_until_idle,
};

/// Enough for every caller to have met each of both enclaves.
const CALLS: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_fails_no_call_of_a_fleet() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (upstream, handle) = connection(&stack).await;
    let mut second = SecondEnclave::beside(&stack);
    second.wait_until_ready();
    let balancer = Balancer::start(&[&stack.file().parent.ingress, second.ingress()]).await;
    let profile = OtherProfile::behind(&stack, &balancer, &[]);
    let before = fingerprint(&stack, &handle);
    assert_eq!(attested_generation(&stack, profile.path()), 1);

    let mut load = Load::new();
    load.add_owners(2, profile.path(), &handle);
    load.add_connectors(1, profile.path(), &upstream.base_url());
    load.add_tools(1, &stack.file());
    load.goes_on(CALLS).await;
    for (change, generation) in [
        (&["rotate"][..], 2),
        (&["rotate"], 3),
        (&["rewrap"], 4),
        (&["rotate", "--only", "recipient"], 5),
    ] {
        keys(&stack, change);
        load.goes_on(CALLS).await;
        assert_eq!(attested_generation(&stack, profile.path()), generation);
    }

    // What was called meanwhile is under the new record key by now, and the old ones can go.
    wait_until("the record is under the new key", || {
        fingerprint(&stack, &handle) != before
    });
    load.goes_on(CALLS).await;
    let served = load.assert_none_failed().await;
    println!("{served} calls served while the keyset changed four times");
    keys(&stack, &["retire", "--older-than", "0s"]);
    let ran = stack.dauth(&["call", &handle, "GET", "/"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "served"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_nobody_used_is_closed_when_its_key_is_retired() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (_upstream, handle) = connection(&stack).await;
    keys(&stack, &["rotate"]);
    keys(&stack, &["retire", "--older-than", "0s"]);
    let ran = stack.dauth(&["call", &handle, "GET", "/"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("DECRYPTION_FAILED"), "{ran:?}");
    // Its owner seals the credential again.
    let ran = stack.dauth_with_input(
        &["connections", "rotate", &handle],
        b"custody-secret-again-01",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = stack.dauth(&["call", &handle, "GET", "/"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "served"), "{ran:?}");
}
