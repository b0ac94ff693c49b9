//! This system's clock.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::OwnerError;

/// Unix seconds.
pub(crate) fn now_s() -> Result<u64, OwnerError> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|_| OwnerError::Clock)
}
