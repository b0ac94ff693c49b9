//! Results on stdout: for a person, or as JSON for a program.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

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

/// Prints a text that may be long. Whoever reads it may leave, or a disk be full.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    write(text, anstream::stdout().lock())
}

fn write(text: &str, mut to: impl Write) -> Result<(), Failure> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(|error| Failure::refused(format!("cannot write to standard output: {error}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failure_and_no_panic() {
        assert!(write("result\n", &mut Vec::new()).is_ok());
        let full: &mut [u8] = &mut [0; 3];
        assert!(write("result\n", full).is_err());
    }
}
