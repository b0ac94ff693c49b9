//! `dauth keys status`, on a keyset that is there.
use dauth_tests::{Ran, Stack};
use serde_json::Value;

use crate::{dauth, json, keys, keyset_file};

/// The report and the evidence agree, as text and as JSON. The keyset's id.
#[track_caller]
pub(crate) fn assert_agrees_with_evidence(stack: &Stack, generation: u64) -> String {
    let evidence = json(&stack.dauth(&["attest", "fetch", "--json"]));
    let id = evidence["keyset"]["id"].as_str().unwrap().to_owned();
    assert_eq!(evidence["keyset"]["generation"], generation);

    let status = json(&keys(stack, &["status", "--verify", "--json"]));
    let file = keyset_file(stack);
    assert_eq!(status["file"], file.to_str().unwrap());
    for part in ["claims", "attested"] {
        assert_eq!(status[part]["keyset_id"], id.as_str(), "{part}");
        assert_eq!(status[part]["generation"], generation, "{part}");
    }
    assert_eq!(status["claims"]["kms_key"], evidence["kms_key"]["arn"]);
    assert_eq!(status["order"], Value::Null);

    let text = keys(stack, &["status"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
    let has = |line: &str| text.stdout.lines().any(|shown| shown.starts_with(line));
    for line in [
        &format!("file           {}", file.display()),
        &format!("keyset         {id} "),
        &format!("generation     {generation}, made 20"),
        "order          none",
        &format!("attested       generation {generation} of keyset {id}"),
    ] {
        assert!(has(line), "{line:?} is not in {text:?}");
    }
    id
}

/// Without asking the enclave, it says what the file claims, and that nobody was asked.
pub(crate) fn assert_works_offline(stack: &Stack) {
    let offline = json(&keys(stack, &["status", "--offline", "--json"]));
    assert_eq!(offline["claims"]["generation"], 1);
    assert_eq!(offline["attested"], Value::Null);
    // On a host where no profile is.
    let file = keyset_file(stack);
    let status = |options: &[&str]| -> Ran {
        let named = ["keys", "status", "--keyset", file.to_str().unwrap()];
        dauth(&[&named, options].concat())
    };
    assert_eq!(json(&status(&["--json"])), offline);
    let text = status(&[]);
    assert!(text.stdout.contains("not asked"), "{text:?}");
    let ran = status(&["--verify"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("--profile"), "{ran:?}");
}

#[test]
fn without_a_place_to_look_it_is_a_usage_error() {
    for command in [
        &["status"][..],
        &["create"],
        &["rotate"],
        &["rewrap"],
        &["retire", "--older-than", "30d"],
    ] {
        let ran = dauth(&[&["keys"], command].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains("--keyset"), "{ran:?}");
    }
}
