//! When credentials end: the time as IMDS writes it.

/// Seconds since the epoch of an RFC 3339 time (section 5.6), its fraction dropped. `None` for
/// anything else, and for what was before the epoch.
pub(super) fn unix_s(text: &str) -> Option<u64> {
    let (moment, zone) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| {
        let digits = moment.get(from..to)?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| all_digits)
    };
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let is_marked = |(at, mark): (usize, &str)| {
        let found = moment.get(at..at.saturating_add(1));
        found.is_some_and(|found| found.eq_ignore_ascii_case(mark))
    };
    let (month, day) = (number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !marks.into_iter().all(is_marked) || !in_range {
        return None;
    }
    let days = days_from_civil(number(0, 4)?, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset_s(zone)?;
    u64::try_from(seconds).ok()
}

/// `Z` or `±hh:mm`, after an optional fraction.
fn offset_s(zone: &str) -> Option<i64> {
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|char: char| char.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => zone,
    };
    let sign = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |text: &str, below: u8| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u8>().ok().filter(|_| is_number)?;
        (number < below).then_some(i64::from(number))
    };
    Some(sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

/// Days since 1970-01-01 in the Gregorian calendar, of a year with four digits.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Counted from 0000-03-01, so that the leap day ends a year; an era has 400 years.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{super::sigv4::AmzDate, *};

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2015-08-30T12:36:00Z", 1_440_938_160),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2024-03-01T00:00:00.123456Z", 1_709_251_200),
            ("2024-03-01t02:30:00+02:30", 1_709_251_200),
            ("2024-02-29T23:00:00-01:00", 1_709_251_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(unix_s(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "E",
            "2024-03-01",
            "2024-03-01T00:00:00",
            "2024-03-01 00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-03-01T24:00:00Z",
            "2024-03-01T00:00:00.Z",
            "2024-03-01T00:00:00+1:00",
            "2024-03-01T00:00:00Zz",
            "+024-03-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-03-01T00:00:0é",
            "20240301T000000Z",
        ] {
            assert_eq!(unix_s(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".{0,40}") {
            let _ = unix_s(&text);
        }

        #[test]
        fn it_reads_what_is_written(seconds in 0..253_402_300_799_u64) {
            let date = AmzDate::from_unix_s(seconds);
            let (year, rest) = date.as_str().split_at(4);
            let part = |from: usize| &rest[from..from + 2];
            let text = format!(
                "{year}-{}-{}T{}:{}:{}Z", part(0), part(2), part(5), part(7), part(9)
            );
            proptest::prop_assert_eq!(unix_s(&text), Some(seconds));
        }
    }
}
