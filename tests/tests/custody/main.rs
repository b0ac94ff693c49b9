//! The whole life of the keys: rotation, wrapping anew and upgrade while calls go on; what a parent
//! may do to the keyset, and an administrator to the KMS key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod fixture;
mod locked;
mod rollback;
mod rotation;
mod upgrade;
