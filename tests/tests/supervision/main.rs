//! A parent that starts enclaves and keeps them running, with a stand-in for nitro-cli that starts
//! real processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panic, and say what they measured"
)]

mod callers;
mod deaths;
mod fixture;
mod ipv6;
mod restart;
mod upgrade;
