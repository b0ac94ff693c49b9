//! A time that goes on while KMS is waited for.
use tokio::time::Instant;

/// A time that was given, and goes on from there.
///
/// A birth document is dated by the module after KMS has answered, which may take most of a minute:
/// by the time at which the act began it would be from the future.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    given_ms: u64,
    at: Instant,
}

impl Moment {
    /// It is `now_ms`.
    pub(super) fn given(now_ms: u64) -> Self {
        Self {
            given_ms: now_ms,
            at: Instant::now(),
        }
    }

    /// The time that was given: when the act began.
    pub(super) fn given_ms(self) -> u64 {
        self.given_ms
    }

    /// What it is by now: milliseconds since the epoch.
    pub(super) fn now_ms(self) -> u64 {
        let passed_ms = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.given_ms.saturating_add(passed_ms)
    }
}
