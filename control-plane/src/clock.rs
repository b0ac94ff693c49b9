//! The one place that asks for the time.
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
