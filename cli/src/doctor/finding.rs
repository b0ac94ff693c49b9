//! What was looked at, what was found, and what to do.
#![allow(clippy::print_stdout, reason = "this is the command's result")]

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::{
    failure::Failure,
    output::{self, Output},
};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It is as it has to be.
    Ok,
    /// An enclave does not run, or is not served, without it.
    Missing,
    /// It would be better otherwise.
    Advice,
    /// It could not be looked at.
    NotChecked,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// The check.
    pub(super) name: &'static str,
    /// How it came out.
    pub(super) state: State,
    /// What there is.
    pub(super) found: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, &found.into(), None)
    }

    pub(super) fn missing(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Missing, &found.into(), Some(remedy.into()))
    }

    pub(super) fn advice(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Advice, &found.into(), Some(remedy.into()))
    }

    pub(super) fn not_checked(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, State::NotChecked, &why.into(), None)
    }

    fn new(name: &'static str, state: State, found: &str, remedy: Option<String>) -> Self {
        Self {
            name,
            state,
            // What files and services say may hold what moves a terminal's cursor.
            found: output::shown(found),
            remedy,
        }
    }
}

/// Every check, in the order in which they help.
pub(super) struct Report(pub(super) Vec<Finding>);

impl Report {
    /// How many things are missing that are needed.
    pub(super) fn missing(&self) -> usize {
        let is_missing = |finding: &&Finding| finding.state == State::Missing;
        self.0.iter().filter(is_missing).count()
    }

    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Json => {
                output::json(&json!({ "ready": self.missing() == 0, "checks": self.0 }));
                Ok(())
            }
            Output::Text => output::text(&self.text()),
        }
    }

    fn text(&self) -> String {
        let width = self.0.iter().map(|f| f.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for finding in &self.0 {
            let (style, sign) = match finding.state {
                State::Ok => (GOOD, '✓'),
                State::Missing => (BAD, '✗'),
                State::Advice => (NOTE, '!'),
                State::NotChecked => (DIM, '-'),
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{style}{sign}{style:#} {:<width$}  {}",
                finding.name, finding.found
            );
            for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
                let _ = writeln!(text, "  {:<width$}  → {line}", "");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_counts_and_each_lack_is_told_with_its_remedy() {
        let report = Report(vec![
            Finding::ok("a", "there"),
            Finding::missing("b", "none", "do one\ndo two"),
            Finding::advice("c", "\u{1b}[2Jodd", "do three"),
            Finding::not_checked("d", "no c"),
        ]);
        assert_eq!(report.missing(), 1);
        let text = report.text();
        for remedy in ["→ do one\n", "→ do two\n", "→ do three\n"] {
            assert!(text.contains(remedy), "{text}");
        }
        assert!(!text.contains("\u{1b}[2J"), "{text}");
        let json = serde_json::to_value(&report.0).unwrap();
        assert_eq!(json[1]["state"], "missing");
        assert_eq!(json[3]["state"], "not_checked");
        assert!(json[0].get("remedy").is_none());
    }
}
