//! The one place where this crate asks the time.
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds; 0 when the clock stands before 1970, so that nothing is valid yet.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
