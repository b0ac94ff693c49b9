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
//! 5. The key configuration is for the audience that we expect.
//! 6. Its TLS key is the key of this session.
//!
//! A relay in between can copy evidence, but cannot satisfy 1 and 6 together.
#![forbid(unsafe_code)]

pub mod danger;

mod connect;
mod error;
mod evidence;
mod session;

pub use connect::connect;
pub use error::{ConnectError, EvidenceError, SendError};
pub use evidence::{EndorsedKeys, Evidence, Expectations, MAX_EVIDENCE_BYTES};
pub use session::{Body, BoxError, Session, body};
