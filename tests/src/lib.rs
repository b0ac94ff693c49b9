//! End-to-end tests over one [`Stack`] of real processes, one file in `tests/` per boundary.
//!
//! [`Stack`] is what a user has after `dauth simulate`; [`Upstream`] is an API that a test scripts;
//! [`dauth_simulator::memory`] looks into processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panic"
)]

mod chunks;
mod enclave;
mod identities;
mod mutation;
mod stack;
mod stack_file;
mod store;
mod upstream;

pub use chunks::Chunks;
pub use enclave::{Answer, Enclave};
pub use mutation::unwiped_binaries;
pub use stack::{Ran, Stack, binary, simulate_once, wait_until};
pub use stack_file::{Client, StackFile};
pub use store::{Stored, Vault};
pub use upstream::{Request, Upstream};
