//! Calls that are allowed: the secret reaches the upstream in its place and nothing else does; the
//! reply comes back without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

mod injection;
mod reflection;

use dauth_tests::Ran;

/// A secret with characters that percent- and JSON-escaping change.
fn random_secret() -> String {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    format!("sk/{}+\"&<=", hex::encode(bytes))
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}
