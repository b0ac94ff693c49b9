//! Another image, while calls go on: no call fails, and an image that does not serve replaces none.
use dauth_tests::{Load, Stack, wait_until};

use crate::fixture::{Supervised, connection, wait_until_idle};

const CALLS: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_under_load_fails_no_call() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (upstream, handle) = connection(&stack).await;
    let supervised = Supervised::start(&stack, 2);
    let mut load = Load::new();
    load.add_owners(3, &supervised.profile(), &handle);
    load.add_connectors(1, &supervised.profile(), &upstream.base_url());
    load.goes_on(CALLS).await;
    let before = supervised.enclave_pids();

    let next = supervised.image("two.eif", |_| {});
    supervised.upgrade_to(&next);
    wait_until("both enclaves are replaced", || {
        let now = supervised.enclave_pids();
        now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
    });
    supervised.wait_until_ready(2);
    load.goes_on(CALLS).await;
    assert_eq!(
        supervised.metric("dauth_parent_enclave_upgrades_total"),
        Some(2)
    );

    // An image that does not boot: the enclaves of the one before serve on.
    let serving = supervised.enclave_pids();
    let broken = supervised.image("broken.eif", |image| {
        image.insert("kms_root_file".into(), "/nowhere/kms.pem".into());
    });
    supervised.upgrade_to(&broken);
    wait_until("the parent gives the broken image up", || {
        supervised.metric("dauth_parent_enclave_upgrade_failures_total") == Some(2)
    });
    load.goes_on(CALLS).await;
    assert_eq!(supervised.enclave_pids(), serving);
    assert!(supervised.parent_log().contains("the old enclave stays"));

    // A file with a mistake: the same.
    supervised.reload(|parent| {
        parent["ingress"]
            .as_table_mut()
            .unwrap()
            .insert("liste".into(), "x".into());
    });
    wait_until("the parent says that it stays", || {
        supervised.parent_log().contains("all stays as it was")
    });
    load.goes_on(CALLS).await;
    assert_eq!(supervised.enclave_pids(), serving);
    wait_until("the enclaves' own figures are there", || {
        supervised.metric("dauth_enclave_calls_answered_total") > Some(0)
    });
    let served = load.assert_none_failed().await;
    println!("{served} calls served while images were replaced, and none failed");
    let deaths = supervised.metric("dauth_parent_enclave_deaths_total");
    assert_eq!(deaths, Some(0), "{}", supervised.logs());
}

/// Enclaves that are not named any more are drained and ended; new ones are started.
#[tokio::test(flavor = "multi_thread")]
async fn enclaves_come_and_go_with_the_configuration() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let supervised = Supervised::start(&stack, 1);
    let first = supervised.enclave_pids();
    supervised.reload(|parent| {
        let enclaves = parent["enclaves"].as_array_mut().unwrap();
        let mut second = enclaves[0].clone();
        second["name"] = "second".into();
        enclaves.push(second);
    });
    supervised.wait_until_ready(2);
    supervised.reload(|parent| {
        parent["enclaves"].as_array_mut().unwrap().remove(0);
    });
    wait_until("the first enclave is ended", || {
        let now = supervised.enclave_pids();
        now.len() == 1 && now != first
    });
    supervised.wait_until_ready(1);
}
