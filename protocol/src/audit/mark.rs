//! By what an owner knows a receipt that is kept back.
use sha2::{Digest as _, Sha256};

use super::{BootId, MarkKey};

/// Says to those who have a receipt of a connection that another in the same batch is of it as
/// well. The digests of others' receipts and of those kept back look alike; marks do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; Mark::BYTES]);

impl Mark {
    /// The length of a mark: no two meet by chance.
    pub const BYTES: usize = 8;

    /// The first bytes of SHA-256 of purpose, key, boot and sequence, each of one length.
    pub fn of(key: &MarkKey, boot: &BootId, sequence: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update("dauth-receipt-mark-v1");
        hash.update(key.as_bytes());
        hash.update(boot.as_bytes());
        hash.update(sequence.to_be_bytes());
        Self::read(&hash.finalize())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The first bytes of some.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut mark = [0; Self::BYTES];
        mark.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        Self(mark)
    }
}
