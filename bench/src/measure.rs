//! Timing candidates in turns, so that a busy moment of the machine falls on all of them.
//!
//! What is measured is the CPU time of the thread. On a busy machine elapsed time favours short work,
//! which is rarely interrupted, over long work, which always is.
use std::{error::Error, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Something that is timed.
pub(crate) struct Candidate<'a> {
    pub(crate) name: String,
    pub(crate) role: Role,
    time: Box<dyn FnMut() -> Result<Duration, Box<dyn Error>> + 'a>,
}

/// What a candidate is in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Ours.
    Subject,
    /// What the work cannot cost less than.
    Floor,
    /// Another's.
    Peer,
}

/// A candidate's times, in order.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) role: Role,
    sorted: Vec<Duration>,
}

impl Measured {
    pub(crate) fn new(name: &str, role: Role, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            name: name.to_owned(),
            role,
            sorted: times,
        }
    }

    /// The median, in microseconds.
    pub(crate) fn median_us(&self) -> f64 {
        self.percentile_us(50)
    }

    /// What so many of a hundred times do not exceed, in microseconds: the greatest, of 100.
    pub(crate) fn percentile_us(&self, of_100: usize) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted
            .get((self.sorted.len() * of_100 / 100).min(last))
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

impl<'a> Candidate<'a> {
    /// Work of this process. It is done twice and timed once: what ran before had the caches.
    pub(crate) fn new(name: &str, role: Role, mut work: impl FnMut() + 'a) -> Self {
        Self::timed_elsewhere(name, role, move || {
            work();
            let started = clock_gettime(ClockId::ThreadCPUTime);
            work();
            let took = clock_gettime(ClockId::ThreadCPUTime) - started;
            Ok(Duration::try_from(took)?)
        })
    }

    /// Work too short to be timed alone: the time of one of `times`.
    pub(crate) fn repeated(
        name: &str,
        role: Role,
        times: u32,
        mut work: impl FnMut() + 'a,
    ) -> Self {
        let mut all = Self::new(name, role, move || (0..times).for_each(|_| work()));
        let mut time = all.time;
        all.time = Box::new(move || Ok(time()? / times));
        all
    }

    /// Work that is timed where it is done.
    pub(crate) fn timed_elsewhere(
        name: &str,
        role: Role,
        time: impl FnMut() -> Result<Duration, Box<dyn Error>> + 'a,
    ) -> Self {
        Self {
            name: name.to_owned(),
            role,
            time: Box::new(time),
        }
    }
}

/// Times every candidate once a round.
pub(crate) fn measure(
    rounds: usize,
    mut candidates: Vec<Candidate<'_>>,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    let mut samples: Vec<Vec<Duration>> = candidates.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for (candidate, samples) in candidates.iter_mut().zip(&mut samples) {
            samples.push((candidate.time)()?);
        }
    }
    let measured = candidates.into_iter().zip(samples);
    Ok(measured
        .map(|(candidate, times)| Measured::new(&candidate.name, candidate.role, times))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        let measured = Measured::new("", Role::Subject, times);
        assert!((measured.median_us() - 101.0).abs() < 1e-6);
        assert!((measured.percentile_us(99) - 199.0).abs() < 1e-6);
        assert!((measured.percentile_us(100) - 200.0).abs() < 1e-6);
        assert!(
            Measured::new("", Role::Subject, Vec::new())
                .median_us()
                .is_nan()
        );
    }
}
