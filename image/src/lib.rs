//! Enclave images (EIF): read, measured and written; and the manifest that a release is known by.
//!
//! This crate is *pure*: bytes in, bytes out, no clock, no files. [`Eif::parse`] reads what somebody
//! else made and refuses whatever two readers could understand differently; [`Eif::measure`] gives
//! the PCRs that the hypervisor will; [`Image::write`] makes an image, the same bytes each time.
//! A [`release`] manifest says which PCRs belong to which version, and is signed.
#![forbid(unsafe_code)]

pub mod cpio;
pub mod error;
mod header;
mod measure;
mod metadata;
mod parse;
pub mod ramdisk;
pub mod release;
mod signature;
mod write;

pub use error::{EifError, SignatureError};
pub use header::{Architecture, MAX_SECTIONS};
pub use measure::Measurements;
pub use metadata::Metadata;
pub use parse::Eif;
pub use write::{Image, WriteError};
