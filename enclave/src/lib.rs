//! The trusted computing base of DAuth: the only program that opens a credential.
//!
//! One library serves Nitro and the simulator; they differ in [`platform`] alone. The modules
//! stand in the order in which a call passes them.

pub mod allocator;
pub mod hardening;
pub mod platform;
pub mod trust;

pub mod boot;
pub mod clock;
pub mod event;
pub mod evidence;
pub mod host;
pub mod keyset;
pub mod kms;
mod metrics;
pub mod reply;
pub mod server;
pub mod service;
mod shutdown;
pub mod tls;

pub mod admit;
pub mod authorize;
pub mod deposit;
pub mod issuer;
pub mod open;
pub mod reencrypt;
mod serving;

pub mod call;
pub mod inject;
pub mod scrub;
pub mod splice;
pub mod upstream;
pub mod wipe;

mod in_progress;
pub mod receipt;
mod suspension;

mod bounded_map;
pub mod refusal;

#[cfg(mutations)]
mod mutation;
