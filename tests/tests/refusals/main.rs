//! What is refused: each with its code, and a sentence that says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

mod callers;
mod policy;
mod scene;
mod tokens;
mod upstreams;
mod vault;
