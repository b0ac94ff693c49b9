//! Durations as people write them: `30d`, `12h`, `5m`, `90s`.
use std::time::Duration;

/// Parses a whole number and one unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid =
        || format!("'{text}' is not a duration: write a number and s, m, h or d, as in 30d");
    let (digits, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86400),
        _ => return Err(invalid()),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number
        .checked_mul(seconds)
        .filter(|s| *s > 0)
        .map(Duration::from_secs)
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "1.5h",
            "1w",
            "99999999999999999999d",
            "213503982334602d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
