//! The verifier of AWS Nitro Enclaves evidence (RFC 9334: verifier, and relying party's policy).
//!
//! This crate is *pure*: no I/O, no clock (time is an argument), no randomness, no `unsafe`. Bytes,
//! [`TrustAnchors`], a [`Policy`] and a time go in; an [`AttestationResult`] or a typed [`Error`]
//! comes out. A stored document is judged at the time that the caller names, never silently at its
//! own.
//!
//! The order of [`appraise()`]:
//!
//! 1. form: COSE_Sign1 (RFC 9052), then each field's rule of the AWS attestation process;
//! 2. chain: from `certificate` through `cabundle` to a pinned root, at the given time (RFC 5280);
//! 3. signature: ES384 by the key of `certificate`;
//! 4. only then what the document claims: debug mode, images, nonce, age.
//!
//! ```
//! use dauth_attestation::{Appraisal, Images, NonceRule, Policy, ReferenceValues, TrustAnchors, appraise};
//!
//! let release = ReferenceValues::new().with_pcr(0, &[0x5a; 48]);
//! let policy = Policy {
//!     nonce: NonceRule::Equals(vec![7; 32]),
//!     ..Policy::new(Images::AnyOf(vec![release]))
//! };
//! let anchors = TrustAnchors::aws_nitro();
//! let appraisal = Appraisal { anchors: &anchors, policy: &policy, now_ms: 1_731_627_990_000 };
//! assert!(appraise(b"no document", &appraisal).is_err());
//! ```
#![forbid(unsafe_code)]
// The example above needs the default algorithms, and so does a link to `appraise`.
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
