//! How much evidence is made for whoever asks.
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Documents in a second, for as long as they are asked for: one takes the module some
/// milliseconds, and most of its time must stay free for the enclave's own use. A client needs one
/// for a session of ten minutes, so this is enough for thirty thousand of them.
const SUSTAINED_PER_S: u32 = 50;
/// Documents at once after a pause: clients that come back together when an enclave was replaced.
const BURST: u32 = 100;
/// One document's share of time.
const INTERVAL: Duration = Duration::from_millis(1000 / SUSTAINED_PER_S as u64);

/// A token bucket, kept as the time at which it will be full again.
#[derive(Debug)]
pub(super) struct Rate {
    full_again: Mutex<Instant>,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            full_again: Mutex::new(Instant::now()),
        }
    }

    /// Takes one document's share, if there is one left.
    pub(super) fn take(&self) -> Option<()> {
        let now = Instant::now();
        let mut full_again = (self.full_again.lock()).unwrap_or_else(PoisonError::into_inner);
        let after = (*full_again).max(now) + INTERVAL;
        if after > now + INTERVAL * BURST {
            return None;
        }
        *full_again = after;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &Rate) -> usize {
        (0..1000).map_while(|_| rate.take()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_fifty_in_a_second() {
        let rate = Rate::new();
        assert_eq!(taken(&rate), 100);
        tokio::time::advance(Duration::from_millis(19)).await;
        assert_eq!(taken(&rate), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&rate), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(&rate), 50);
        // A pause saves up for one burst, however long it is.
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(&rate), 100);
    }
}
