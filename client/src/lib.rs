//! The relying party of a person: appraise evidence, seal, admit, call.
//!
//! A [`Profile`] says whom to trust and whom to ask. An [`Owner`] does what its person asks for:
//! the credential is encrypted here, to a key that the enclave's evidence endorses, and never
//! leaves this process in the clear.
//!
//! A connection is made in this order, and each step needs the one before:
//!
//! 1. the keys of the permitted MCP servers are looked up, to be pinned ([`pin`]);
//! 2. evidence is fetched and appraised on an attested session;
//! 3. the credential is sealed for the attested key, and admitted over that session;
//! 4. the admission receipt is verified ([`AdmittedRecord`]);
//! 5. only then is the record given to the control plane.
#![forbid(unsafe_code)]

pub mod audit;
mod clock;
mod connection;
mod error;
mod kept;
mod owner;
pub mod pin;
mod profile;
mod random;
mod receipt;
mod rotate;
mod seal;
mod trust;
mod vault;

pub use connection::{Connection, NewConnection, Pinning, PolicyParts};
pub use dauth_attested_tls::{Custody, Evidence, EvidenceError, KeysetMemory, private_file};
pub use dauth_dispatch::{CallBody, CallError, CallRequest, DauthRefusal};
pub use dauth_sealing::Secret;
pub use error::{OwnerError, Step};
pub use kept::KeptPolicyError;
pub use owner::Owner;
pub use profile::{Profile, ProfileError};
pub use receipt::{AdmittedRecord, ExpectedAdmission, ReceiptError, ReceiptSigner};
pub use rotate::{PolicyChange, Rotation};
pub use trust::{Pcrs, Root, Trust};
pub use vault::VaultError;
