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

/// The median of a candidate's times.
pub(crate) struct Median {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) us: f64,
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
) -> Result<Vec<Median>, Box<dyn Error>> {
    let mut samples: Vec<Vec<Duration>> = candidates.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for (candidate, samples) in candidates.iter_mut().zip(&mut samples) {
            samples.push((candidate.time)()?);
        }
    }
    let medians = candidates.into_iter().zip(samples);
    Ok(medians
        .map(|(candidate, samples)| Median {
            name: candidate.name,
            role: candidate.role,
            us: median_us(samples),
        })
        .collect())
}

fn median_us(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples
        .get(samples.len() / 2)
        .map_or(f64::NAN, |d| d.as_secs_f64() * 1e6)
}
