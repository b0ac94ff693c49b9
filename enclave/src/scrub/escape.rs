//! Escapes of single characters.
/// A way of escaping single characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `%41` (RFC 3986 section 2.1).
    Percent,
    /// `\u0041`, `\/` (RFC 8259 section 7); also `\x41`, as other notations have it.
    Json,
    /// `&#65;`, `&#x41;`, `&amp;`.
    Html,
}

/// No escape is longer: a JSON surrogate pair.
pub(super) const MAX_ESCAPE_BYTES: usize = 12;

/// What stands at an introducing character.
pub(super) enum Parsed {
    /// An escape of so many bytes, and what it means.
    Escape(usize, Meaning),
    /// No escape.
    Literal,
    /// More bytes are needed to tell.
    Incomplete,
}

/// Up to four bytes.
pub(super) struct Meaning([u8; 4], usize);

impl Scheme {
    /// The character that every escape begins with, and none has inside.
    pub(super) fn introducer(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Json => b'\\',
            Self::Html => b'&',
        }
    }

    /// What stands at the start of `from`, which is the introducing character.
    pub(super) fn parse(self, from: &[u8]) -> Parsed {
        match self {
            Self::Percent => hex_escape(from, 1, 2, Meaning::byte),
            Self::Json => json(from),
            Self::Html => html(from),
        }
    }
}

fn json(from: &[u8]) -> Parsed {
    let simple = |byte| Parsed::Escape(2, Meaning::byte(byte));
    match from.get(1) {
        None => Parsed::Incomplete,
        Some(b'b') => simple(0x08),
        Some(b'f') => simple(0x0c),
        Some(b'n') => simple(b'\n'),
        Some(b'r') => simple(b'\r'),
        Some(b't') => simple(b'\t'),
        Some(&byte @ (b'"' | b'\\' | b'/' | b'\'')) => simple(byte),
        Some(b'x') => hex_escape(from, 2, 2, Meaning::byte),
        Some(b'u') => json_unicode(from),
        Some(_) => Parsed::Literal,
    }
}

/// `\uXXXX`, or two of them when they are a surrogate pair.
fn json_unicode(from: &[u8]) -> Parsed {
    let high = match hex_value(from, 2, 4) {
        Ok(value) => value,
        Err(parsed) => return parsed,
    };
    if !(0xd800..0xdc00).contains(&high) {
        return Meaning::character(high).map_or(Parsed::Literal, |m| Parsed::Escape(6, m));
    }
    let second = from.get(6..).unwrap_or_default();
    if !b"\\u".starts_with(second.get(..2).unwrap_or(second)) {
        return Parsed::Literal;
    }
    match hex_value(second, 2, 4) {
        Ok(low @ 0xdc00..0xe000) => {
            let value = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            Meaning::character(value).map_or(Parsed::Literal, |m| Parsed::Escape(12, m))
        }
        Ok(_) => Parsed::Literal,
        Err(parsed) => parsed,
    }
}

fn html(from: &[u8]) -> Parsed {
    const NAMED: [(&[u8], u8); 5] = [
        (b"amp", b'&'),
        (b"lt", b'<'),
        (b"gt", b'>'),
        (b"quot", b'"'),
        (b"apos", b'\''),
    ];
    let head = from.get(..MAX_ESCAPE_BYTES).unwrap_or(from);
    let is_inside = |b: &u8| b.is_ascii_alphanumeric() || *b == b'#';
    let body = head.get(1..).unwrap_or_default();
    let length = body.iter().take_while(|b| is_inside(b)).count();
    let (name, rest) = body.split_at(length);
    match rest.first() {
        None if head.len() < MAX_ESCAPE_BYTES => return Parsed::Incomplete,
        Some(b';') => {}
        _ => return Parsed::Literal,
    }
    let meaning = match name {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => NAMED
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, byte)| Meaning::byte(*byte)),
    };
    meaning.map_or(Parsed::Literal, |meaning| {
        Parsed::Escape(length + 2, meaning)
    })
}

fn number(digits: &[u8], radix: u32) -> Option<Meaning> {
    let text = core::str::from_utf8(digits)
        .ok()
        .filter(|t| !t.starts_with('+'))?;
    Meaning::character(u32::from_str_radix(text, radix).ok()?)
}

fn hex_escape(from: &[u8], at: usize, digits: usize, meaning: fn(u8) -> Meaning) -> Parsed {
    match hex_value(from, at, digits) {
        Ok(value) => match u8::try_from(value) {
            Ok(byte) => Parsed::Escape(at + digits, meaning(byte)),
            Err(_) => Parsed::Literal,
        },
        Err(parsed) => parsed,
    }
}

/// The value of `digits` hexadecimal digits at `at`.
fn hex_value(from: &[u8], at: usize, digits: usize) -> Result<u32, Parsed> {
    let all = from.get(at..).unwrap_or_default();
    let there = all.get(..digits).unwrap_or(all);
    let mut value = 0;
    for byte in there {
        value = value * 16 + char::from(*byte).to_digit(16).ok_or(Parsed::Literal)?;
    }
    if there.len() == digits {
        Ok(value)
    } else {
        Err(Parsed::Incomplete)
    }
}

impl Meaning {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }

    fn byte(byte: u8) -> Self {
        Self([byte, 0, 0, 0], 1)
    }

    fn character(value: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(value)?.encode_utf8(&mut bytes).len();
        Some(Self(bytes, length))
    }
}
