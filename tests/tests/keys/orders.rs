//! Orders on a keyset that is there: what is printed when they are carried out, and what is said
//! when not.
use std::fs;

use dauth_tests::Stack;

use crate::{
    assert_calls_work, connection, json, keys, keyset_file,
    policy::{assert_printed_as_enforced, of_stack},
    refused,
    status::{assert_agrees_with_evidence, assert_works_offline},
    wait_until_idle,
};

/// One stack, in the order in which an operator would do this.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_carried_out_or_refused_with_what_to_do() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (_upstream, handle) = connection(&stack).await;
    let id = assert_agrees_with_evidence(&stack, 1);
    assert_works_offline(&stack);
    assert_printed_as_enforced(&stack);

    refused(
        &keys(&stack, &["create"]),
        &["there is a keyset in", "already", "dauth keys rotate"],
    );
    refused_by_kms_changes_nothing(&stack, &handle);

    for (command, generation) in [
        (&["rotate"][..], 2),
        (&["rewrap"], 3),
        (&["retire", "--older-than", "0s"], 4),
    ] {
        let made = json(&keys(&stack, &[command, &["--json"]].concat()));
        assert_eq!(made["keyset_id"], id.as_str(), "{command:?}");
        assert_eq!(made["generation"], generation, "{command:?}");
        assert_eq!(assert_agrees_with_evidence(&stack, generation), id);
        assert_calls_work(&stack, &handle);
    }
    let ran = keys(&stack, &["rotate", "--only", "receipt"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "generation 5\n"));

    lost_with_the_one_before_at_hand(&stack);
    assert_agrees_with_evidence(&stack, 5);
}

/// KMS gives a data key to an image that its policy names, and this one it names no more.
fn refused_by_kms_changes_nothing(stack: &Stack, handle: &str) {
    let policy = stack.dir().join("kms/key-policy.json");
    let honest = fs::read(&policy).unwrap();
    let before = fs::read(keyset_file(stack)).unwrap();
    fs::write(&policy, of_stack(stack, &"77".repeat(48))).unwrap();
    for command in ["rotate", "rewrap"] {
        refused(
            &keys(stack, &[command]),
            &[
                "KMS gave no data key",
                "dauth kms-policy",
                "the keyset is as it was",
            ],
        );
        assert_eq!(fs::read(keyset_file(stack)).unwrap(), before);
        assert_calls_work(stack, handle);
    }
    let status = keys(stack, &["status"]);
    let outcome = "last outcome   refused by KMS, at generation 1";
    assert!(status.stdout.contains(outcome), "{status:?}");
    assert_agrees_with_evidence(stack, 1);
    fs::write(&policy, honest).unwrap();
}

/// After a change there is a keyset to go back to: the file is named, and no other takes its place.
fn lost_with_the_one_before_at_hand(stack: &Stack) {
    let file = keyset_file(stack);
    let away = file.with_extension("away");
    fs::rename(&file, &away).unwrap();
    let previous = file.with_extension("cbor.previous");
    assert!(previous.exists());
    let named = previous.to_str().unwrap();
    for command in ["status", "rotate", "rewrap", "create"] {
        refused(
            &keys(stack, &[command]),
            &["backup", named, "one generation older"],
        );
    }
    assert!(!file.exists());
    fs::rename(&away, &file).unwrap();
}
