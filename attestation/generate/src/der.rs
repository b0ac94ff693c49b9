//! A DER writer (X.690) for certificates.

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x31, &parts.concat())
}

pub(crate) fn oid(contents: &[u8]) -> Vec<u8> {
    element(0x06, contents)
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

pub(crate) fn octets(contents: &[u8]) -> Vec<u8> {
    element(0x04, contents)
}

/// BIT STRING of whole bytes.
pub(crate) fn bits(contents: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], contents].concat())
}

/// A named bit list (X.690 section 11.2.2): without the zero bits at its end.
pub(crate) fn named_bits(byte: u8) -> Vec<u8> {
    if byte == 0 {
        return element(0x03, &[0]);
    }
    let unused = u8::try_from(byte.trailing_zeros()).unwrap_or(0);
    element(0x03, &[unused, byte])
}

pub(crate) fn truth() -> Vec<u8> {
    element(0x01, &[0xff])
}

/// Two's complement in the fewest bytes (X.690 section 8.3).
pub(crate) fn integer(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let mut contents = &bytes[..];
    while let [first, rest @ ..] = contents
        && let Some(second) = rest.first()
        && (*first == 0 && second & 0x80 == 0 || *first == 0xff && second & 0x80 != 0)
    {
        contents = rest;
    }
    element(0x02, contents)
}

/// UTCTime through 2049, GeneralizedTime after it (RFC 5280 section 4.1.2.5).
pub(crate) fn time(unix_s: u64) -> Vec<u8> {
    let (year, month, day) = date(unix_s / 86_400);
    let of_day = unix_s % 86_400;
    let rest = format!(
        "{month:02}{day:02}{:02}{:02}{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
    if year < 2050 {
        element(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let [.., high, low] = length.to_be_bytes();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(low),
        0x80..=0xff => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend_from_slice(contents);
    out
}

/// The Gregorian date of a day since 1970-01-01.
fn date(mut day: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by GNU date.
    #[test]
    fn times_have_the_form_of_their_century() {
        assert_eq!(time(1_572_269_285), element(0x17, b"191028132805Z"));
        assert_eq!(time(951_825_600), element(0x17, b"000229120000Z"));
        assert_eq!(time(4_107_542_400), element(0x18, b"21000301000000Z"));
    }

    #[test]
    fn integers_have_the_fewest_bytes() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x7f), [2, 1, 0x7f]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(integer(-1), [2, 1, 0xff]);
        assert_eq!(integer(-129), [2, 2, 0xff, 0x7f]);
    }
}
