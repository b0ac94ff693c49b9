//! How long to wait before an enclave is started again.
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// The pause after the first death: none that a caller would notice.
const FIRST: Duration = Duration::from_millis(50);
/// What the pauses after the first grow from.
const SECOND: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// One that served this long has not died in a row.
pub(super) const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Deaths in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// An enclave died after it had served for `served`: the pause before it is started again.
    pub(super) fn after_death(&mut self, served: Duration) -> Duration {
        if served >= STEADY_AFTER {
            self.deaths = 0;
        }
        let whole = match self.deaths {
            0 => FIRST,
            deaths => SECOND
                .saturating_mul(1u32.checked_shl(deaths - 1).unwrap_or(u32::MAX))
                .min(LONGEST),
        };
        self.deaths = self.deaths.saturating_add(1);
        // Between half of it and the whole, so that several do not start at the same moment.
        whole / 2 + whole.mul_f64(jitter() / 2.0)
    }
}

/// From 0 to 1. The standard library's hash keys are random, and no secret hangs on it.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(random).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_anew_after_a_steady_while() {
        let mut backoff = Backoff::default();
        let mut bounds = vec![FIRST, SECOND];
        while *bounds.last().unwrap() < LONGEST {
            bounds.push((*bounds.last().unwrap() * 2).min(LONGEST));
        }
        bounds.extend([LONGEST; 40]);
        for bound in bounds {
            let pause = backoff.after_death(STEADY_AFTER / 2);
            assert!(
                (bound / 2..=bound).contains(&pause),
                "{pause:?} of {bound:?}"
            );
        }
        assert!(backoff.after_death(STEADY_AFTER) <= FIRST);
    }

    #[test]
    fn pauses_differ() {
        let pauses = [(); 8].map(|()| Backoff::default().after_death(Duration::ZERO));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
