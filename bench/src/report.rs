//! What a measurement says: medians, ratios and figures beside their budgets.
use std::fmt::Write;

use serde::Serialize;

use crate::measure::{Measured, Role};

/// The medians, the ratios and the figures.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) title: &'static str,
    /// What was measured upon.
    pub(crate) input: String,
    pub(crate) rounds: usize,
    pub(crate) medians: Vec<Line>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) figures: Vec<Figure>,
}

/// Which time was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Clock {
    /// The CPU time of the thread that does the work.
    Cpu,
    /// Elapsed time: several processes take part.
    Elapsed,
}

#[derive(Serialize)]
pub(crate) struct Line {
    name: String,
    role: Role,
    clock: Clock,
    median_us: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    tail: Option<Tail>,
}

/// The slower of the times.
#[derive(Serialize)]
struct Tail {
    p95_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// A time or a rate, and what it may be.
#[derive(Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(flatten)]
    budget: Budget,
    met: bool,
}

/// One median as a multiple of another, and what it may be.
#[derive(Serialize)]
pub(crate) struct Ratio {
    pub(crate) name: String,
    pub(crate) ratio: f64,
    #[serde(flatten)]
    pub(crate) budget: Budget,
    pub(crate) met: bool,
}

/// What a ratio may be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Budget {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    /// In words, and whether `value` keeps to it.
    fn verdict(self, value: f64) -> String {
        let (word, bound) = match self {
            Self::AtMost(bound) => ("at most", bound),
            Self::AtLeast(bound) => ("at least", bound),
        };
        let verdict = if self.is_met(value) { "met" } else { "MISSED" };
        format!("{word} {bound}: {verdict}")
    }
}

impl Ratio {
    pub(crate) fn new(name: String, ratio: f64, budget: Budget) -> Self {
        Self {
            name,
            ratio,
            budget,
            met: budget.is_met(ratio),
        }
    }
}

impl Figure {
    pub(crate) fn new(name: &str, value: f64, unit: &'static str, budget: Budget) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            budget,
            met: budget.is_met(value),
        }
    }
}

impl Line {
    /// The median of CPU times.
    pub(crate) fn cpu(measured: &Measured) -> Self {
        Self {
            name: measured.name.clone(),
            role: measured.role,
            clock: Clock::Cpu,
            median_us: measured.median_us(),
            tail: None,
        }
    }

    /// The median of elapsed times, and the slower of them.
    pub(crate) fn elapsed(measured: &Measured) -> Self {
        Self {
            clock: Clock::Elapsed,
            tail: Some(Tail {
                p95_us: measured.percentile_us(95),
                p99_us: measured.percentile_us(99),
                max_us: measured.percentile_us(100),
            }),
            ..Self::cpu(measured)
        }
    }
}

impl Report {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "{} ({}; medians of {} rounds)\n",
            self.title, self.input, self.rounds
        );
        // A String takes everything.
        for line in &self.medians {
            let role = match line.role {
                Role::Subject => "subject",
                Role::Floor => "floor",
                Role::Peer => "peer",
            };
            let (name, us) = (&line.name, line.median_us);
            let _ = write!(text, "  {role:<8} {name:<50} {us:>8.1} us ");
            let _ = match (line.clock, &line.tail) {
                (Clock::Cpu, _) | (_, None) => writeln!(text, "CPU"),
                (Clock::Elapsed, Some(tail)) => writeln!(
                    text,
                    "elapsed; p95 {:.1}, p99 {:.1}, max {:.1}",
                    tail.p95_us, tail.p99_us, tail.max_us
                ),
            };
        }
        for Ratio {
            name,
            ratio,
            budget,
            ..
        } in &self.ratios
        {
            let verdict = budget.verdict(*ratio);
            let _ = writeln!(text, "  {name:<59} {ratio:>8.2}    {verdict}");
        }
        for Figure {
            name,
            value,
            unit,
            budget,
            ..
        } in &self.figures
        {
            let verdict = budget.verdict(*value);
            let _ = writeln!(text, "  {name:<59} {value:>8.2} {unit}, {verdict}");
        }
        text
    }
}
