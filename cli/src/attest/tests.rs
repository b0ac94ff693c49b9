use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    verify: Verify,
}

/// A document of `attestation/vectors`, judged as the options say.
fn judged(document: &str, options: &[&str]) -> Result<AttestationResult, Failure> {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../attestation/vectors");
    let (document, root) = (
        format!("{vectors}/{document}"),
        format!("{vectors}/root.pem"),
    );
    let arguments = [&["verify", &document, "--root", &root], options].concat();
    Command::try_parse_from(arguments)
        .unwrap()
        .verify
        .appraise(&Required::default())
}

#[track_caller]
fn is_early(judged: Result<AttestationResult, Failure>) {
    let failure = judged.unwrap_err().to_string();
    assert!(
        failure.contains("the signing certificate is not valid before"),
        "{failure}"
    );
}

/// Its signing certificate is valid from 15:06:50Z.
const LEAF_AHEAD: &str = "accept_leaf_ahead_within_leeway.cose";

#[test]
fn a_time_that_is_named_is_exact() {
    is_early(judged(LEAF_AHEAD, &["--at", "2025-06-15T15:06:40Z"]));
    is_early(judged(LEAF_AHEAD, &["--at", "2025-06-15T15:06:49Z"]));
    // The second before is not over.
    is_early(judged(LEAF_AHEAD, &["--at", "2025-06-15T15:06:49.999Z"]));
    judged(LEAF_AHEAD, &["--at", "2025-06-15T15:06:50Z"]).unwrap();
}

#[test]
fn leeway_is_what_is_asked_for() {
    let at = |leeway| ["--at", "2025-06-15T15:06:40Z", "--leeway", leeway];
    is_early(judged(LEAF_AHEAD, &at("9s")));
    judged(LEAF_AHEAD, &at("10s")).unwrap();
    judged(LEAF_AHEAD, &at("1d")).unwrap();
    // It is for the signing certificate's beginning alone.
    let zonal = judged("reject_zonal_ahead_within_leeway.cose", &at("1d"));
    assert!(zonal.unwrap_err().to_string().contains("a CA certificate"));
}

#[test]
fn a_timestamp_is_compared_with_the_same_leeway() {
    let judged = |leeway: &[&str]| {
        let options = ["--at", "2025-06-15T15:06:40Z", "--max-age", "1m"];
        judged(
            "accept_timestamp_ahead_within_leeway.cose",
            &[&options, leeway].concat(),
        )
    };
    assert!(judged(&[]).is_err());
    assert!(judged(&["--leeway", "9s"]).is_err());
    judged(&["--leeway", "10s"]).unwrap();
}

#[test]
fn now_has_the_default_unless_another_is_asked_for() {
    let leeway = |options: &[&str]| {
        let arguments = [&["verify", "document"], options].concat();
        let command = Command::try_parse_from(arguments).unwrap();
        command.verify.policy(&Required::default()).leeway
    };
    assert_eq!(leeway(&[]), Policy::DEFAULT_LEEWAY);
    assert_eq!(leeway(&["--leeway", "0s"]), Duration::ZERO);
    assert_eq!(leeway(&["--leeway", "1m"]), Duration::from_mins(1));
    assert_eq!(leeway(&["--at", "2025-06-15T15:06:40Z"]), Duration::ZERO);
}
