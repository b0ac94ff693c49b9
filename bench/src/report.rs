//! What a measurement says: medians, and their ratios beside the budgets.
use std::fmt::Write;

use serde::Serialize;

use crate::measure::{Median, Role};

/// The medians and the ratios.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) title: &'static str,
    /// What was measured upon.
    pub(crate) input: String,
    pub(crate) rounds: usize,
    pub(crate) medians: Vec<Line>,
    pub(crate) ratios: Vec<Ratio>,
}

#[derive(Serialize)]
pub(crate) struct Line {
    name: String,
    role: Role,
    median_us: f64,
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

impl Ratio {
    pub(crate) fn new(name: String, ratio: f64, budget: Budget) -> Self {
        let met = match budget {
            Budget::AtMost(bound) => ratio <= bound,
            Budget::AtLeast(bound) => ratio >= bound,
        };
        Self {
            name,
            ratio,
            budget,
            met,
        }
    }
}

impl From<&Median> for Line {
    fn from(median: &Median) -> Self {
        Self {
            name: median.name.clone(),
            role: median.role,
            median_us: median.us,
        }
    }
}

impl Report {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "{} ({}; CPU time, median of {} rounds)\n",
            self.title, self.input, self.rounds
        );
        for line in &self.medians {
            let role = match line.role {
                Role::Subject => "subject",
                Role::Floor => "floor",
                Role::Peer => "peer",
            };
            // A String takes everything.
            let _ = writeln!(
                text,
                "  {role:<8} {:<50} {:>8.1} us",
                line.name, line.median_us
            );
        }
        for ratio in &self.ratios {
            let (word, bound) = match ratio.budget {
                Budget::AtMost(bound) => ("at most", bound),
                Budget::AtLeast(bound) => ("at least", bound),
            };
            let verdict = if ratio.met { "met" } else { "MISSED" };
            let _ = writeln!(
                text,
                "  {:<59} {:>8.2}    {word} {bound}: {verdict}",
                ratio.name, ratio.ratio
            );
        }
        text
    }
}
