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

mod mutation;
mod stack;
mod upstream;

pub use mutation::unwiped_binaries;
pub use stack::{Ran, Stack, StackFile, binary};
pub use upstream::{Request, Upstream};
