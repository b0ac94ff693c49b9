//! Both ends of sealing a credential.
//!
//! *Pure*: no I/O, no clock, no randomness but what is passed in, no `unsafe`.
//!
//! 1. A client selects an [`AttestedRecipientKey`] from appraised evidence and seals a [`Secret`]
//!    with a [`Sealer`]: HPKE (RFC 9180, base mode) in a COSE_Encrypt0, the integrated mode of
//!    draft-ietf-cose-hpke-24. The whole protected header is associated data.
//! 2. The enclave parses a [`SealedEnvelope`], compares its header with the owner's token, and opens
//!    it with its [`RecipientKey`].
//! 3. It seals the secret again under a [`RecordKey`] (AES-256-GCM, COSE_Encrypt0). Each call opens
//!    the [`SealedRecord`]: one AES-GCM operation instead of a decapsulation.
//!
//! # Formats
//!
//! Both are a COSE_Encrypt0 (RFC 9052 section 5.2) without detached content or external data. The
//! protected header holds exactly three parameters; another parameter anywhere is refused.
//!
//! | | envelope | record |
//! |---|---|---|
//! | tag | none, or 16 | none |
//! | protected `alg` (1) | `HPKE-Base-MLKEM768-X25519-SHAKE256-AES256GCM-DAuth-1` or `HPKE-Base-X25519-SHA256-AES256GCM-DAuth-1` | 3 (A256GCM) |
//! | protected `kid` (4) | recipient key id, 8 bytes | record key id, 8 bytes |
//! | protected `"dauth"` | CBOR of `EnvelopeHeader`, as bstr | CBOR of `RecordHeader`, as bstr |
//! | unprotected | `ek` (-4): encapsulated key | `IV` (5): 12 bytes |
//! | HPKE `info` | `dauth-envelope-v1` | |
//! | associated data | Enc_structure, context `Encrypt0` | Enc_structure, context `Encrypt0` |
//! | encoding | the one that `coset` writes: definite lengths, shortest forms | any; the fingerprint is over the bytes |
//!
//! Every failure of cryptography is one [`OpenError`]: which part did not verify is not told.
#![forbid(unsafe_code)]

mod attested;
mod cose;
mod envelope;
mod error;
mod randomness;
mod recipient;
mod record;
mod secret;
mod suite;

pub use attested::AttestedRecipientKey;
pub use envelope::{SealedEnvelope, Sealer};
pub use error::{OpenError, ParseError, SealError};
pub use recipient::RecipientKey;
pub use record::{OpenedRecord, RecordKey, SealedRecord};
pub use secret::Secret;
