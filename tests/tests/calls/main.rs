//! Calls that are allowed: the secret reaches the upstream in its place and nothing else does; the
//! reply comes back without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

// The forms, and who judges whether one is left, are those of the table in `docs/scrubbing.md`.
#[path = "../../../enclave/src/call/tests/forms/escaped.rs"]
mod escaped;
mod events;
#[path = "../../../enclave/src/call/tests/forms/form.rs"]
mod form;
mod injection;
#[path = "../../../enclave/src/call/tests/forms/judge.rs"]
mod judge;
mod kept;
#[path = "../../../enclave/src/call/tests/forms/names.rs"]
mod names;
mod reflection;

use dauth_tests::Ran;

/// What stands in a reply for the secret.
const REDACTED: &str = "[redacted]";

/// A secret with characters that percent-, JSON- and HTML-escaping change. After `me:`, it fills
/// whole quanta of base64.
fn random_secret() -> String {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    format!("sk/{}+\"&<=_", hex::encode(bytes))
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}
