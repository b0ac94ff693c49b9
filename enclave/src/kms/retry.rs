//! Asking again: exponential backoff with full jitter, and a deadline over all attempts.
use std::{future::Future, time::Duration};

use aws_lc_rs::rand;
use tokio::time::{Instant, sleep, timeout_at};

use super::KmsError;

/// How long to go on, and how long to wait in between.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The longest wait before the second attempt; it doubles with each.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
    /// All attempts together.
    pub deadline: Duration,
    /// One attempt.
    pub attempt: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
            deadline: Duration::from_secs(45),
            attempt: Duration::from_secs(15),
        }
    }
}

impl Backoff {
    /// Runs `attempt` until it succeeds, fails for good, or the deadline passes.
    pub async fn run<T, F, Fut>(&self, mut attempt: F) -> Result<T, KmsError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, KmsError>>,
    {
        let deadline = Instant::now() + self.deadline;
        let mut longest_wait = self.first;
        loop {
            let until = deadline.min(Instant::now() + self.attempt);
            let error = match timeout_at(until, attempt()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if !error.is_transient() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => KmsError::TimedOut,
            };
            let wait = jitter(longest_wait);
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
            longest_wait = (longest_wait * 2).min(self.most);
        }
    }
}

/// A random part of `longest`, so that enclaves that failed together do not come back together.
fn jitter(longest: Duration) -> Duration {
    let mut bytes = [0; 2];
    if rand::fill(&mut bytes).is_err() {
        return longest;
    }
    longest * u32::from(u16::from_be_bytes(bytes)) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{super::ErrorCode, *};

    const QUICK: Backoff = Backoff {
        first: Duration::from_millis(1),
        most: Duration::from_millis(4),
        deadline: Duration::from_millis(200),
        attempt: Duration::from_millis(50),
    };

    fn throttled() -> KmsError {
        KmsError::Transient(ErrorCode::of_type("ThrottlingException"))
    }

    #[tokio::test]
    async fn throttling_is_retried_until_it_passes() {
        let attempts = Cell::new(0);
        let result = QUICK
            .run(|| async {
                attempts.set(attempts.get() + 1);
                if attempts.get() < 4 {
                    Err(throttled())
                } else {
                    Ok(attempts.get())
                }
            })
            .await;
        assert!(matches!(result, Ok(4)));
    }

    #[tokio::test]
    async fn a_denial_is_never_retried() {
        let attempts = Cell::new(0);
        let result: Result<(), _> = QUICK
            .run(|| async {
                attempts.set(attempts.get() + 1);
                Err(KmsError::AccessDenied)
            })
            .await;
        assert!(matches!(result, Err(KmsError::AccessDenied)));
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test]
    async fn the_deadline_ends_it() {
        let started = Instant::now();
        let result: Result<(), _> = QUICK.run(|| async { Err(throttled()) }).await;
        assert!(matches!(result, Err(KmsError::Transient(_))));
        let result: Result<(), _> = QUICK.run(std::future::pending).await;
        assert!(matches!(result, Err(KmsError::TimedOut)));
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
