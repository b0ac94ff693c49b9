//! The verifier of AWS Nitro Enclaves evidence (RFC 9334: verifier, and relying party's policy).
//!
//! This crate is *pure*: no I/O, no clock (time is an argument), no randomness, no `unsafe`. Bytes,
//! [`TrustAnchors`], a [`Policy`] and a time go in; an [`AttestationResult`] or a typed [`Error`]
//! comes out. A stored document is judged at the time that the caller names, never silently at its
//! own.
//!
//! The order of [`Verifier::appraise`], and of [`appraise()`] for one document alone:
//!
//! 1. form: COSE_Sign1 (RFC 9052), then each field's rule of the AWS attestation process;
//! 2. certificates: what costs no signature, at the given time (RFC 5280), and the root's name;
//! 3. the document's signature: ES384 by the key of `certificate`;
//! 4. the chain's signatures, from a pinned root down, unless the verifier's cache knows the chain;
//! 5. only then what the document claims: debug mode, images, nonce, purpose, age.
//!
//! ```
//! # #[cfg(feature = "aws-lc-rs")] {
//! use dauth_attestation::{Appraisal, Images, NonceRule, Policy, ReferenceValues, TrustAnchors};
//! use dauth_attestation::appraise;
//!
//! // During an upgrade the new release is accepted beside the old one.
//! let old = ReferenceValues::new().with_pcr(0, &[0x5a; 48]);
//! let new = ReferenceValues::new().with_pcr(0, &[0x5b; 48]);
//! let policy = Policy {
//!     nonce: NonceRule::Equals(vec![7; 32]),
//!     ..Policy::new(Images::AnyOf(vec![old, new]))
//! };
//! let anchors = TrustAnchors::aws_nitro();
//! let appraisal = Appraisal { anchors: &anchors, policy: &policy, now_ms: 1_731_627_990_000 };
//! let refusal = appraise(b"no document", &appraisal).unwrap_err();
//! assert!(refusal.to_string().contains("RFC 9052"));
//! # }
//! ```
//!
//! # Features
//!
//! `aws-lc-rs` (default) verifies signatures with AWS-LC. `rust-crypto` verifies them in Rust alone,
//! for `wasm32-unknown-unknown`. [`SignatureAlgorithms::new`] takes any other implementation.
#![forbid(unsafe_code)]
// Without the default algorithms there is no `appraise` to link to.
#![cfg_attr(not(feature = "aws-lc-rs"), allow(rustdoc::broken_intra_doc_links))]

mod algorithms;
mod anchors;
mod appraise;
mod cache;
mod cbor;
mod certificate;
mod chain;
mod cose;
mod der;
mod document;
mod error;
mod header;
mod policy;
mod reference;
mod result;
#[cfg(feature = "rust-crypto")]
mod rust_crypto;
mod utc;
mod verifier;

/// The examples of the README are tested.
#[cfg(all(doctest, feature = "aws-lc-rs"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use algorithms::SignatureAlgorithms;
pub use anchors::{AnchorError, TrustAnchors};
#[cfg(feature = "aws-lc-rs")]
pub use appraise::appraise;
pub use appraise::{Appraisal, appraise_with};
pub use cache::ChainCacheLimits;
pub use cbor::CborError;
pub use document::{Field, MAX_CABUNDLE_CERTIFICATES, MAX_DOCUMENT_BYTES};
pub use error::Error;
pub use policy::{AgeRule, DebugMode, Images, NonceRule, Policy, UserDataRule};
pub use reference::ReferenceValues;
pub use result::AttestationResult;
pub use verifier::Verifier;
