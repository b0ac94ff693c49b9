//! A TLS session whose peer key an attestation result endorses.
//!
//! [`connect()`] shakes hands over any byte stream, asks for evidence *on that very session*, and
//! appraises it. The peer's certificate proves possession of a key and nothing else; that the key
//! is an enclave's follows from the evidence, which names it. A [`Session`] therefore has one
//! constructor: the whole check.
//!
//! What must hold, in this order, each with its own [`ConnectError`]:
//!
//! 1. TLS 1.3, and the peer signs the handshake with the key of its certificate ([`danger`]).
//! 2. The reply to `GET /.well-known/dauth/evidence?nonce=` is small, JSON, and of a known type.
//! 3. The document appraises: chain, signature, validity, our nonce, images, age.
//! 4. The document's `user_data` is the tagged hash of the key configuration received.
//! 5. The key configuration is for the audience that we expect, and its KMS key is guarded as we
//!    require ([`Custody`]).
//! 6. Its keyset is the one that we know of this audience, and no older than we have seen
//!    ([`KeysetMemory`]).
//! 7. Its TLS key is the key of this session.
//!
//! A relay in between can copy evidence, but cannot satisfy 1 and 7 together. Only when all hold
//! is the keyset noted, so that copied evidence does not change what we know.
#![forbid(unsafe_code)]

pub mod danger;

mod connect;
mod error;
mod evidence;
mod memory;
pub mod private_file;
mod session;

pub use connect::connect;
pub use error::{ConnectError, EvidenceError, SendError};
pub use evidence::{Custody, EndorsedKeys, Evidence, Expectations, MAX_EVIDENCE_BYTES};
pub use memory::{KeysetMemory, KeysetMemoryError, Place};
pub use session::{Body, BoxError, Session, body};
