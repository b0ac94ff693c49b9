//! The name of a connection inside one enclave.
use dauth_protocol::{Handle, Owner};
use sha2::{Digest, Sha256};

/// Names a connection wherever something of it is remembered. A hash, since subjects and handles
/// have no fixed length; of both, since a handle is unique per owner only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionName([u8; 32]);

impl ConnectionName {
    /// The name of an owner's connection.
    pub fn of(owner: &Owner, handle: &Handle) -> Self {
        let mut hash = Sha256::new();
        for part in [&owner.issuer, &owner.subject, handle.as_str()] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}
