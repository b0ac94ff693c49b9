//! A parent that starts enclaves and keeps them running, with a stand-in for nitro-cli that starts
//! real processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod callers;
mod deaths;
mod fixture;
mod restart;
mod upgrade;
