//! Receipts: one for each call, and `dauth audit` finds whatever was done to them since.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod count;
mod life;
mod scene;
mod tamper;
