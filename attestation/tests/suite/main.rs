//! The verifier against real documents, forged ones, and noise.
#![allow(
    clippy::expect_used,
    reason = "the forge is a fixture: where it fails, the test fails"
)]
mod arbitrary;
mod chain;
mod document;
mod forge;
mod policy;
mod real;
