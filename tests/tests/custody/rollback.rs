//! A parent that serves another keyset file than the last.
use std::fs;

use dauth_tests::{SecondEnclave, Stack, wait_until};

use crate::fixture::{KEYSET, attested_generation, connection, keys, kill, wait_until_idle};

fn restart_enclave(stack: &Stack) {
    let before = stack.file().enclave.pid;
    kill("-KILL", before);
    wait_until("the enclave is started again", || {
        stack.file().enclave.pid != before
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyset_rolled_back_is_refused_by_who_saw_a_later_one() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (_upstream, handle) = connection(&stack).await;
    let file = stack.dir().join(KEYSET);
    let old = fs::read(&file).unwrap();
    keys(&stack, &["rotate"]);
    let new = fs::read(&file).unwrap();
    let profile = stack.file().profile;
    assert_eq!(attested_generation(&stack, &profile), 2);

    // An enclave that runs goes on with the generation that it has.
    fs::write(&file, &old).unwrap();
    wait_until("the enclave refuses the older file", || {
        stack.logs().contains("keyset_refused")
    });
    assert_eq!(attested_generation(&stack, &profile), 2);
    let ran = stack.dauth(&["call", &handle, "GET", "/"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "served"), "{ran:?}");

    // One that boots cannot know better; a client that saw the later one does.
    restart_enclave(&stack);
    let mut sentence = String::new();
    wait_until("the client refuses the older generation", || {
        let ran = stack.dauth(&["attest", "fetch"]);
        assert_ne!(ran.code, 0, "{ran:?}");
        sentence = ran.stderr;
        sentence.contains("generation")
    });
    let ran = stack.dauth_with_input(
        &[
            "connect",
            "again",
            "--base-url",
            "https://api.example",
            "--bearer",
        ],
        b"a-secret-that-must-not-be-sealed",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("generation"), "{ran:?}");

    fs::write(&file, &new).unwrap();
    restart_enclave(&stack);
    wait_until("the very keyset serves again", || {
        stack.dauth(&["call", &handle, "GET", "/"]).code == 0
    });
}

/// A parent that puts an old keyset back can have it changed until its number is high enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_keyset_that_was_changed_since_is_refused_by_who_saw_a_later_one() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let file = stack.dir().join(KEYSET);
    let old = fs::read(&file).unwrap();
    keys(&stack, &["rotate"]);
    assert_eq!(attested_generation(&stack, &stack.file().profile), 2);

    fs::write(&file, &old).unwrap();
    restart_enclave(&stack);
    wait_until("the older generation serves", || {
        stack
            .dauth(&["attest", "fetch"])
            .stderr
            .contains("generation 1 of its keyset")
    });
    for generation in [2, 3] {
        let ran = stack.dauth(&["keys", "rewrap", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let ran = stack.dauth(&["attest", "fetch"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        let sentence = format!("generation {generation} of the enclave's keyset did not come of");
        assert!(ran.stderr.contains(&sentence), "{ran:?}");
    }
}

/// A parent can have another keyset made. Whoever has seen the first does not seal to it.
#[tokio::test(flavor = "multi_thread")]
async fn another_keyset_is_refused_by_who_saw_the_first() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    assert_eq!(stack.dauth(&["attest", "fetch"]).code, 0);
    let file = stack.dir().join(KEYSET);
    fs::remove_file(&file).unwrap();
    let made = {
        fs::write(
            stack.dir().join(format!("{KEYSET}.order")),
            r#"{"keyset":"create"}"#,
        )
        .unwrap();
        restart_enclave(&stack);
        wait_until("another keyset is made", || file.exists());
        fs::read(&file).unwrap()
    };
    assert!(!made.is_empty());
    wait_until("the client refuses the other keyset", || {
        let ran = stack.dauth(&["attest", "fetch"]);
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.stderr.contains("keyset")
    });
}

/// The keyset of this image under this KMS key, in the hands of another deployment's configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyset_of_another_configuration_is_refused() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let image = SecondEnclave::beside(&stack).measurements().0;
    let mut other = SecondEnclave::of_image(&stack, image, |configuration| {
        configuration["deployment"] = "another".into();
    });
    // KMS does not know this configuration.
    let said = other.wait_until_ended();
    assert!(said.contains("KMS refused this image"), "{said}");

    // Nor does it help when KMS does.
    let policy = stack.dir().join("kms/key-policy.json");
    let honest = fs::read_to_string(&policy).unwrap();
    let (_, pcr16) = other.measurements();
    let stack_pcr16 = stack.file().trust.pcrs["16"].clone();
    fs::write(&policy, honest.replace(&stack_pcr16, &pcr16.to_string())).unwrap();
    other.restart_enclave();
    wait_until("the enclave says why", || {
        other
            .wait_until_ended()
            .contains("made by another image or configuration")
    });
    fs::write(&policy, honest).unwrap();
}
