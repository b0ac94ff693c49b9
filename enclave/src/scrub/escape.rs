//! Escapes of single characters.
use super::{End, entity};

/// A way of escaping single characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `%41` (RFC 3986 section 2.1); also `%u0041`, as ECMAScript's `escape` writes it.
    Percent,
    /// `\u0041`, `\/` (RFC 8259 section 7); also `\x41`, `\u{41}`, `\U00000041`, `\101` and a
    /// backslash before any punctuation, as other notations have them.
    Json,
    /// `&#65;`, `&#x41;`, `&amp;`.
    Html,
}

/// No escape is longer: the longest name of an ASCII character in HTML, `&DiacriticalGrave;`.
pub(super) const MAX_ESCAPE_BYTES: usize = 18;

/// What stands at an introducing character.
pub(super) enum Parsed {
    /// An escape of so many bytes, and what it means.
    Escape(u8, Meaning),
    /// No escape.
    Literal,
    /// More bytes are needed to tell.
    Incomplete,
}

/// Up to four bytes.
#[derive(Clone, Copy)]
pub(super) struct Meaning([u8; 4], u8);

impl Parsed {
    /// An escape of `length` bytes.
    pub(super) fn escape(length: usize, meaning: Meaning) -> Self {
        u8::try_from(length).map_or(Self::Literal, |length| Self::Escape(length, meaning))
    }
}

impl Scheme {
    /// The character that every escape begins with.
    pub(super) fn introducer(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Json => b'\\',
            Self::Html => b'&',
        }
    }

    /// What stands at the start of `from`, which is the introducing character. It is never
    /// incomplete if no bytes may follow.
    #[inline]
    pub(super) fn parse(self, from: &[u8], end: End) -> Parsed {
        // By far the most frequent.
        if let ([b'\\', second, ..], Self::Json) = (from, self)
            && let Some(meaning) = short(*second)
        {
            return Parsed::Escape(2, Meaning::of([meaning]));
        }
        self.parse_any(from, end)
    }

    fn parse_any(self, from: &[u8], end: End) -> Parsed {
        let parsed = match self {
            Self::Percent => percent(from),
            Self::Json => json(from, end),
            Self::Html => entity::parse(from, end),
        };
        match (parsed, end) {
            (Parsed::Incomplete, End::Closed) => Parsed::Literal,
            (parsed, _) => parsed,
        }
    }
}

fn percent(from: &[u8]) -> Parsed {
    match from.get(1) {
        Some(b'u' | b'U') => Digits::read(from, 2, 16, 4).exactly(4, Meaning::character),
        _ => Digits::read(from, 1, 16, 2).exactly(2, Meaning::byte),
    }
}

fn json(from: &[u8], end: End) -> Parsed {
    match (from.get(1), from.get(2)) {
        (None, _) => Parsed::Incomplete,
        (Some(b'x' | b'u'), Some(b'{')) => in_braces(from),
        (Some(b'x'), _) => Digits::read(from, 2, 16, 2).exactly(2, Meaning::byte),
        (Some(b'u'), _) => json_unicode(from),
        (Some(b'U'), _) => Digits::read(from, 2, 16, 8).exactly(8, Meaning::character),
        (Some(b'0'..=b'7'), _) => octal(from, end),
        _ => Parsed::Literal,
    }
}

/// What a backslash and one character mean.
#[inline]
fn short(second: u8) -> Option<u8> {
    match second {
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b' ' => Some(second),
        _ if second.is_ascii_punctuation() => Some(second),
        _ => None,
    }
}

/// `\uXXXX`, or two of them when they are a surrogate pair.
fn json_unicode(from: &[u8]) -> Parsed {
    let first = Digits::read(from, 2, 16, 4);
    if !(0xd800..0xdc00).contains(&first.value) || first.count < 4 {
        return first.exactly(4, Meaning::character);
    }
    let second = from.get(6..).unwrap_or_default();
    if !b"\\u".starts_with(second.get(..2).unwrap_or(second)) {
        return Parsed::Literal;
    }
    let pair = |low: u32| {
        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        Meaning::character(0x10000 + ((first.value - 0xd800) << 10) + low)
    };
    match Digits::read(second, 2, 16, 4).exactly(4, pair) {
        Parsed::Escape(length, meaning) => Parsed::Escape(6 + length, meaning),
        other => other,
    }
}

/// `\u{41}`.
fn in_braces(from: &[u8]) -> Parsed {
    let digits = Digits::read(from, 3, 16, 8);
    match from.get(digits.end) {
        None => Parsed::Incomplete,
        Some(b'}') => digits.escape(digits.end + 1, Meaning::character),
        Some(_) => Parsed::Literal,
    }
}

/// `\101`: up to three digits, no more than a byte.
fn octal(from: &[u8], end: End) -> Parsed {
    let most = match from.get(1) {
        Some(b'0'..=b'3') => 3,
        _ => 2,
    };
    let digits = Digits::read(from, 1, 8, most);
    if digits.is_cut && digits.count < most && end == End::Open {
        return Parsed::Incomplete;
    }
    digits.escape(digits.end, Meaning::byte)
}

/// A number that was read.
pub(super) struct Digits {
    pub(super) value: u32,
    pub(super) count: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether it ends with the input.
    pub(super) is_cut: bool,
}

impl Digits {
    /// Reads up to `most` digits at `at`.
    pub(super) fn read(from: &[u8], at: usize, radix: u32, most: usize) -> Self {
        let digits = from.get(at..).unwrap_or_default();
        let (mut value, mut count) = (0_u32, 0);
        for digit in digits
            .iter()
            .take(most)
            .map_while(|byte| digit(*byte, radix))
        {
            value = value.saturating_mul(radix).saturating_add(digit);
            count += 1;
        }
        Self {
            value,
            count,
            end: at + count,
            is_cut: count == digits.len(),
        }
    }

    /// An escape that ends after `count` digits, which it must have.
    fn exactly(&self, count: usize, meaning: impl Fn(u32) -> Option<Meaning>) -> Parsed {
        match self.count == count {
            true => self.escape(self.end, meaning),
            false if self.is_cut => Parsed::Incomplete,
            false => Parsed::Literal,
        }
    }

    /// An escape of `length` bytes, if there are digits and they mean something.
    pub(super) fn escape(&self, length: usize, meaning: impl Fn(u32) -> Option<Meaning>) -> Parsed {
        match meaning(self.value) {
            Some(meaning) if self.count > 0 => Parsed::escape(length, meaning),
            _ => Parsed::Literal,
        }
    }
}

fn digit(byte: u8, radix: u32) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    };
    Some(u32::from(value)).filter(|value| *value < radix)
}

impl Meaning {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get(..usize::from(self.1)).unwrap_or_default()
    }

    /// One or two bytes.
    pub(super) fn of<const N: usize>(bytes: [u8; N]) -> Self {
        let mut all = [0; 4];
        for (place, byte) in all.iter_mut().zip(bytes) {
            *place = byte;
        }
        Self(all, Self::length(N))
    }

    fn length(length: usize) -> u8 {
        u8::try_from(length.min(4)).unwrap_or_default()
    }

    fn byte(value: u32) -> Option<Self> {
        Some(Self::of([u8::try_from(value).ok()?]))
    }

    /// The UTF-8 of a character.
    pub(super) fn character(value: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(value)?.encode_utf8(&mut bytes).len();
        Some(Self(bytes, Self::length(length)))
    }
}
