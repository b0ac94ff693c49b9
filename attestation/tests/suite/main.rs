//! The verifier against real documents, forged ones, and noise.
#![allow(
    clippy::expect_used,
    reason = "the forge is a fixture: where it fails, the test fails"
)]
mod allocation;
mod arbitrary;
mod cache;
mod chain;
mod document;
mod forge;
mod messages;
mod policy;
mod real;
#[cfg(feature = "rust-crypto")]
mod rust_crypto;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;
