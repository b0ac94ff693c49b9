//! The control plane over HTTP: one server in this process for each test, on a port of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client_credentials;
mod connections;
mod dpop;
mod exchange;
mod host;
mod owner;
mod process;
mod program;
mod receipts;
mod reencryption;
mod stack;
