//! A keyset that is gone: everybody says so plainly, and the way on is the one they name.
use std::{fs, process::Command};

use dauth_tests::{Stack, wait_until};

use crate::{
    assert_calls_work, connection, json, keys, keyset_file, refused,
    status::assert_agrees_with_evidence, wait_until_idle,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_keyset_is_told_as_lost_until_another_is_ordered() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (upstream, handle) = connection(&stack).await;
    let lost = assert_agrees_with_evidence(&stack, 1);
    let file = keyset_file(&stack);
    fs::remove_file(&file).unwrap();

    for command in [&["status"][..], &["status", "--json"], &["rotate"]] {
        refused(
            &keys(&stack, command),
            &[
                &format!("there is no keyset in {}", file.display()),
                "if it was lost, put a backup of its last generation there",
                "dauth keys create",
            ],
        );
    }
    // The enclave has it in memory, for as long as it runs.
    assert_calls_work(&stack, &handle);

    kill_enclave(&stack);
    wait_until("the enclave says that there is no keyset", || {
        enclave_log(&stack).contains("there is no keyset: create one with `dauth keys create`")
    });
    // However often it boots, none is made by itself.
    assert!(!file.exists());

    let made = json(&keys(&stack, &["create", "--json"]));
    let other = made["keyset_id"].as_str().unwrap();
    assert_ne!(other, lost);
    assert_eq!(made["generation"], 1);
    assert!(file.exists());

    let seen = stack.file().profile.with_extension("keyset.json");
    wait_until("the enclave serves it", || {
        let ran = stack.dauth(&["attest", "fetch"]);
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.stderr.contains(other)
    });
    refused_by_who_knew_the_first(&stack, [other, &lost], seen.to_str().unwrap());

    // What the sentence says to do is enough for a new beginning, and brings nothing back.
    fs::remove_file(seen).unwrap();
    assert_eq!(assert_agrees_with_evidence(&stack, 1), other);
    let ran = stack.dauth(&["call", &handle, "GET", "/"]);
    refused(&ran, &["DECRYPTION_FAILED"]);
    let options = ["--bearer", "--allow", "GET /**"];
    let base_url = upstream.base_url();
    let anew = stack.connect("anew", &base_url, "keys-secret-again-01", &options);
    assert_calls_work(&stack, &anew);
}

/// Nothing is sealed to another keyset than the one known.
fn refused_by_who_knew_the_first(stack: &Stack, [found, known]: [&str; 2], seen: &str) {
    let words = [
        &format!("the enclave has the keyset {found}, not {known}"),
        "lost or replaced the keyset",
        seen,
    ];
    refused(&stack.dauth(&["attest", "fetch"]), &words);
    let connect = ["connect", "x", "--base-url", "https://api.test", "--bearer"];
    refused(
        &stack.dauth_with_input(&connect, b"keys-secret-not-sealed"),
        &words,
    );
}

fn kill_enclave(stack: &Stack) {
    let pid = stack.file().enclave.pid.to_string();
    let killed = Command::new("kill").args(["-KILL", &pid]).status();
    assert!(killed.unwrap().success());
}

fn enclave_log(stack: &Stack) -> String {
    fs::read_to_string(stack.dir().join("logs/enclave.log")).unwrap()
}
