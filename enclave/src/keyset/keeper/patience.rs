//! Waiting longer after each failure.
use std::time::Duration;

use tokio::time::Instant;

/// The wait after the first failure; it doubles with each.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
const MOST: Duration = Duration::from_secs(60);

/// When something that failed may be tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    failures: u32,
    until: Option<Instant>,
}

impl Patience {
    /// Whether it may be tried now.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// The same after one more failure.
    #[must_use]
    pub(super) fn after_failure(self) -> Self {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        Self {
            failures: self.failures.saturating_add(1),
            until: Some(Instant::now() + wait.min(MOST)),
        }
    }
}
