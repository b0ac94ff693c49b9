//! Enclaves that are booted: QEMU's nitro-enclave machine, run by `cargo xtask vm-test`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

mod parent;
mod probe;
mod production;
mod simulated;
