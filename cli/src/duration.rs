//! Durations as people write them: `30d`, `12h`, `5m`, `90s`.
use std::time::Duration;

/// Parses a whole number, not zero, and one unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    match parse_age(text)? {
        Duration::ZERO => Err(format!("'{text}' is no time at all: write 1s at least")),
        duration => Ok(duration),
    }
}

/// Parses an age, which may be zero.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let invalid = || not_one(text);
    let (digits, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86400),
        _ => return Err(invalid()),
    };
    // Digits alone: `parse` takes a sign as well.
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(invalid());
    }
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(invalid)
}

fn not_one(text: &str) -> String {
    format!("'{text}' is not a duration: write a number and s, m, h or d, as in 30d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lasts_for_no_time_but_may_have_happened_now() {
        assert!(parse("0s").unwrap_err().contains("no time at all"));
        assert_eq!(parse_age("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn units() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("12h", 43_200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "5",
            "d",
            "0s",
            "-1d",
            "+1d",
            "1.5h",
            "1w",
            "99999999999999999999d",
            "213503982334602d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
