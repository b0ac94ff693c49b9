//! Results on stdout: for a person, or as JSON for a program.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

use serde::Serialize;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

impl Output {
    /// The meaning of `--json`.
    pub(crate) fn from_flag(json: bool) -> Self {
        if json { Output::Json } else { Output::Text }
    }
}

/// Prints a JSON value, readable.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        anstream::println!("{text}");
    }
}

/// Unix seconds in RFC 3339.
pub(crate) fn utc(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| format!("{seconds} s after 1970"), |t| t.to_string())
}

/// What another party says, without what could move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
