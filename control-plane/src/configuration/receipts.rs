//! How many receipts of calls are kept.
use serde::{Deserialize, Serialize};

use crate::store::Room;

/// `[receipts]`: a bound on what is kept of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptsConfiguration {
    /// How many days a receipt is kept, from when it was received.
    pub keep_days: u64,
    /// How large the database may become by receipts. Beyond it none is taken until older ones have
    /// gone, so that nobody can push them out: the enclave waits, and what it loses leaves a gap.
    pub max_mib: u64,
    /// How much of one owner's receipts is kept. Further ones are kept by their digests alone, so
    /// that one owner does not take the room of all.
    pub max_owner_mib: u64,
}

impl Default for ReceiptsConfiguration {
    fn default() -> Self {
        Self {
            keep_days: 90,
            max_mib: 10 * 1024,
            max_owner_mib: 2 * 1024,
        }
    }
}

impl ReceiptsConfiguration {
    pub(super) fn is_possible(&self) -> bool {
        let has_room = |mib| (1..=1 << 28).contains(mib);
        (1..=36_500).contains(&self.keep_days)
            && has_room(&self.max_mib)
            && has_room(&self.max_owner_mib)
    }

    pub(crate) fn keep_s(&self) -> u64 {
        self.keep_days.saturating_mul(24 * 3600)
    }

    pub(crate) fn room(&self) -> Room {
        Room {
            bytes: self.max_mib.saturating_mul(1024 * 1024),
            owner_bytes: self.max_owner_mib.saturating_mul(1024 * 1024),
        }
    }
}
