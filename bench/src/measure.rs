//! Timing candidates in turns, so that a busy moment of the machine falls on all of them.
use std::time::{Duration, Instant};

use serde::Serialize;

/// Something that is timed.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) work: Box<dyn FnMut() + 'a>,
}

/// What a candidate is in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Subject,
    Floor,
}

/// The medians, and each as a multiple of the floor's.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    title: &'static str,
    rounds: usize,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    role: Role,
    median_us: f64,
    times_floor: f64,
}

/// Times every candidate once a round.
pub(crate) fn measure(
    title: &'static str,
    rounds: usize,
    mut candidates: Vec<Candidate<'_>>,
) -> Report {
    let mut samples: Vec<Vec<Duration>> = candidates.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for (candidate, samples) in candidates.iter_mut().zip(&mut samples) {
            let started = Instant::now();
            (candidate.work)();
            samples.push(started.elapsed());
        }
    }
    let medians: Vec<f64> = samples.into_iter().map(median_us).collect();
    let floor = candidates
        .iter()
        .zip(&medians)
        .find(|(candidate, _)| candidate.role == Role::Floor)
        .map_or(f64::NAN, |(_, median)| *median);
    let lines = candidates
        .iter()
        .zip(&medians)
        .map(|(candidate, median)| Line {
            name: candidate.name,
            role: candidate.role,
            median_us: *median,
            times_floor: median / floor,
        })
        .collect();
    Report {
        title,
        rounds,
        lines,
    }
}

fn median_us(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples
        .get(samples.len() / 2)
        .map_or(f64::NAN, |d| d.as_secs_f64() * 1e6)
}

impl Report {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{} (median of {} rounds)\n", self.title, self.rounds);
        for line in &self.lines {
            let role = match line.role {
                Role::Subject => "subject",
                Role::Floor => "floor",
            };
            text.push_str(&format!(
                "  {role:<8} {:<44} {:>9.1} us  {:>5.2} x floor\n",
                line.name, line.median_us, line.times_floor
            ));
        }
        text
    }
}
