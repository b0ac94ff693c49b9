//! What a certificate says of itself (RFC 5280 section 4.1): validity, key usage, CA.
use crate::{
    chain::Validity,
    der::{Der, tag},
};

/// id-ce-keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// id-ce-basicConstraints, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Claims of a certificate that nothing has verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    /// The name of who signed it, in DER.
    pub(crate) issuer: &'a [u8],
    /// The name of whose key it has, in DER.
    pub(crate) subject: &'a [u8],
    /// First second of validity, Unix time.
    pub(crate) not_before_s: u64,
    /// Last second of validity, Unix time.
    pub(crate) not_after_s: u64,
    /// The first byte of keyUsage, zero when there is none.
    key_usage: u8,
    /// The cA flag of basicConstraints.
    pub(crate) is_ca: bool,
    /// How many CAs may be between it and a signer: pathLenConstraint of basicConstraints.
    pub(crate) path_length: Option<u64>,
}

impl<'a> Certificate<'a> {
    /// `None` when the bytes are not a certificate of version 3.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Der::new(der);
        let mut certificate = outer.enter(tag::SEQUENCE)?;
        if !outer.is_empty() {
            return None;
        }
        let mut tbs = certificate.enter(tag::SEQUENCE)?;
        tbs.take(tag::VERSION)?;
        tbs.any()?; // serialNumber
        tbs.take(tag::SEQUENCE)?; // signature
        let issuer = tbs.take(tag::SEQUENCE)?;
        let mut validity = tbs.enter(tag::SEQUENCE)?;
        let not_before_s = time(&mut validity)?;
        let not_after_s = time(&mut validity)?;
        let subject = tbs.take(tag::SEQUENCE)?;
        tbs.take(tag::SEQUENCE)?; // subjectPublicKeyInfo
        let mut parsed = Self {
            issuer,
            subject,
            not_before_s,
            not_after_s,
            key_usage: 0,
            is_ca: false,
            path_length: None,
        };
        if let Some(mut explicit) = tbs.enter(tag::EXTENSIONS) {
            parsed.read_extensions(explicit.enter(tag::SEQUENCE)?)?;
        }
        Some(parsed)
    }

    /// Whether its key may sign certificates: keyCertSign, bit 5 (RFC 5280 section 4.2.1.3).
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage & 0x04 != 0
    }

    /// Whether its key may sign documents: digitalSignature, bit 0 (RFC 5280 section 4.2.1.3).
    pub(crate) fn may_sign_data(&self) -> bool {
        self.key_usage & 0x80 != 0
    }

    /// When it is valid.
    pub(crate) fn validity(&self) -> Validity {
        Validity {
            from_s: self.not_before_s,
            until_s: self.not_after_s,
        }
    }

    /// Whether it allows so many CA certificates between it and a signer.
    pub(crate) fn allows_below(&self, authorities: usize) -> bool {
        self.path_length.is_none_or(|max| authorities as u64 <= max)
    }

    fn read_extensions(&mut self, mut extensions: Der<'_>) -> Option<()> {
        while !extensions.is_empty() {
            let mut extension = extensions.enter(tag::SEQUENCE)?;
            let id = extension.take(tag::OID)?;
            extension.take(tag::BOOLEAN); // critical
            let mut value = extension.enter(tag::OCTET_STRING)?;
            if id == KEY_USAGE {
                // The first byte counts the unused bits at the end of the last one.
                let bits = value.take(tag::BIT_STRING)?;
                self.key_usage = bits.get(1).copied().unwrap_or(0);
            } else if id == BASIC_CONSTRAINTS {
                let mut constraints = value.enter(tag::SEQUENCE)?;
                self.is_ca = constraints.take(tag::BOOLEAN) == Some(&[0xff]);
                if !constraints.is_empty() {
                    self.path_length = Some(unsigned(constraints.take(tag::INTEGER)?)?);
                }
            }
        }
        Some(())
    }
}

/// A DER INTEGER that is not negative.
fn unsigned(contents: &[u8]) -> Option<u64> {
    if !(1..=8).contains(&contents.len()) || contents.first()? & 0x80 != 0 {
        return None;
    }
    let shift = |value: u64, &byte: &u8| (value << 8) | u64::from(byte);
    Some(contents.iter().fold(0, shift))
}

/// UTCTime or GeneralizedTime in the one form of RFC 5280 section 4.1.2.5, as Unix time.
fn time(der: &mut Der<'_>) -> Option<u64> {
    let (tag, text) = der.any()?;
    let (year, rest) = match tag {
        tag::UTC_TIME => {
            let (year, rest) = two_digits(text)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (century, rest) = two_digits(text)?;
            let (year, rest) = two_digits(rest)?;
            (100 * century + year, rest)
        }
        _ => return None,
    };
    let (month, rest) = two_digits(rest)?;
    let (day, rest) = two_digits(rest)?;
    let (hour, rest) = two_digits(rest)?;
    let (minute, rest) = two_digits(rest)?;
    let (second, rest) = two_digits(rest)?;
    let days = days_since_epoch(year, month, day)?;
    if rest != b"Z" || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn two_digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let ([tens, ones], rest) = text.split_first_chunk::<2>()?;
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    Some((u64::from(tens - b'0') * 10 + u64::from(ones - b'0'), rest))
}

/// Days from 1970-01-01 in the Gregorian calendar; `None` before it, or when there is no such day.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    /// Leap days from year 1 to the end of 1969.
    const LEAP_DAYS_BEFORE_1970: u64 = 477;
    let leap_year =
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in_month = match month {
        2 if leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let before_month = BEFORE_MONTH.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if day == 0 || day > days_in_month {
        return None;
    }
    let years = year.checked_sub(1970)?;
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - LEAP_DAYS_BEFORE_1970;
    let leap_day = u64::from(leap_year && month > 2);
    Some(years * 365 + leap_days + before_month + leap_day + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_time(tag: u8, text: &str) -> Option<u64> {
        let mut der = vec![tag, u8::try_from(text.len()).expect("short")];
        der.extend_from_slice(text.as_bytes());
        time(&mut Der::new(&der))
    }

    /// Expected values by GNU date.
    #[test]
    fn times_are_unix_seconds() {
        let cases = [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "191028132805Z", 1_572_269_285),
            (tag::UTC_TIME, "491028142805Z", 2_519_044_085),
            (tag::UTC_TIME, "000229120000Z", 951_825_600),
            (tag::UTC_TIME, "000301000000Z", 951_868_800),
            (tag::GENERALIZED_TIME, "21000301000000Z", 4_107_542_400),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ];
        for (tag, text, expected) in cases {
            assert_eq!(parse_time(tag, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "691231235959Z", // 2069 is no UTCTime of 1969, but 1969 itself is before the epoch
            "230229000000Z",
            "230431000000Z",
            "231301000000Z",
            "230001000000Z",
            "230100000000Z",
            "230101240000Z",
            "230101006000Z",
            "230101000060Z",
            "2301010000Z",
            "230101000000+0000",
            "2301010000 0Z",
            "230101000000ZZ",
            "",
        ] {
            assert_eq!(parse_time(tag::UTC_TIME, text), None, "{text}");
        }
        assert_eq!(parse_time(tag::GENERALIZED_TIME, "21000229000000Z"), None);
        assert_eq!(parse_time(tag::OID, "230101000000Z"), None);
    }

    #[test]
    fn integers_are_not_negative() {
        assert_eq!(unsigned(&[0]), Some(0));
        assert_eq!(unsigned(&[0, 0x80]), Some(0x80));
        for none in [&[][..], &[0x80], &[0xff, 0], &[1; 9]] {
            assert_eq!(unsigned(none), None);
        }
    }

    #[test]
    fn the_aws_root_is_a_ca_for_thirty_years() {
        let root = crate::anchors::aws_root_der().expect("built-in PEM");
        let certificate = Certificate::parse(&root).expect("certificate");
        assert!(certificate.is_ca && certificate.may_sign_certificates());
        assert_eq!(certificate.not_before_s, 1_572_269_285);
        assert_eq!(certificate.not_after_s, 2_519_044_085);
        for end in 0..root.len() {
            assert_eq!(Certificate::parse(&root[..end]), None);
        }
    }
}
