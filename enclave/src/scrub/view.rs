//! Decoded views of a window of bytes, and the way back from a view to the bytes.
use core::ops::Range;

use memchr::memchr;

use super::End;
use crate::wipe::WipedBuffer;

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

/// Some bytes with one scheme's escapes decoded.
pub(super) struct View {
    bytes: WipedBuffer,
    escapes: Vec<Escape>,
}

/// Where an escape stood, and what it became.
#[derive(Clone, Debug)]
pub(super) struct Escape {
    /// In the view's input.
    pub(super) input: Range<usize>,
    /// In the view.
    pub(super) output: Range<usize>,
}

/// What stands at an introducing character.
enum Parsed {
    /// An escape of so many bytes, and what it means.
    Escape(usize, Meaning),
    /// No escape.
    Literal,
    /// More bytes are needed to tell.
    Incomplete,
}

/// Up to four bytes.
struct Meaning([u8; 4], usize);

impl View {
    /// Decodes `input`; `None` when no escape is in it, so that the view would be the input.
    pub(super) fn decode(scheme: Scheme, input: &[u8], end: End) -> Option<Self> {
        memchr(scheme.introducer(), input)?;
        let mut view = Self {
            bytes: WipedBuffer::with_capacity(input.len()),
            escapes: Vec::new(),
        };
        let mut rest = input;
        while let Some(at) = memchr(scheme.introducer(), rest) {
            let (before, from) = rest.split_at(at);
            view.bytes.append(before);
            let taken = match scheme.parse(from) {
                Parsed::Escape(length, meaning) => {
                    view.push(input.len() - from.len(), length, &meaning);
                    length
                }
                Parsed::Incomplete if end == End::Open => {
                    rest = &[];
                    break;
                }
                Parsed::Literal | Parsed::Incomplete => {
                    view.bytes.append(from.get(..1).unwrap_or_default());
                    1
                }
            };
            rest = from.get(taken..).unwrap_or_default();
        }
        view.bytes.append(rest);
        (!view.escapes.is_empty()).then_some(view)
    }

    /// The decoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The escapes, in order.
    pub(super) fn escapes(&self) -> &[Escape] {
        &self.escapes
    }

    /// The input that became `range`, whole escapes.
    pub(super) fn to_input(&self, range: Range<usize>) -> Range<usize> {
        let start = self.locate(range.start, |escape| escape.input.start);
        let end = match range.end.checked_sub(1) {
            Some(last) if !range.is_empty() => self.locate(last, |escape| escape.input.end - 1) + 1,
            _ => start,
        };
        start..end
    }

    /// Where in the input the byte at `at` stood; `within` chooses where in an escape.
    fn locate(&self, at: usize, within: impl Fn(&Escape) -> usize) -> usize {
        let following = self
            .escapes
            .partition_point(|escape| escape.output.start <= at);
        match following
            .checked_sub(1)
            .and_then(|last| self.escapes.get(last))
        {
            Some(escape) if at < escape.output.end => within(escape),
            Some(escape) => escape.input.end + (at - escape.output.end),
            None => at,
        }
    }

    fn push(&mut self, at: usize, length: usize, meaning: &Meaning) {
        let start = self.bytes.len();
        self.bytes
            .append(meaning.0.get(..meaning.1).unwrap_or_default());
        self.escapes.push(Escape {
            input: at..at + length,
            output: start..self.bytes.len(),
        });
    }
}

impl Scheme {
    fn introducer(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Json => b'\\',
            Self::Html => b'&',
        }
    }

    fn parse(self, from: &[u8]) -> Parsed {
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
    fn byte(byte: u8) -> Self {
        Self([byte, 0, 0, 0], 1)
    }

    fn character(value: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(value)?.encode_utf8(&mut bytes).len();
        Some(Self(bytes, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(scheme: Scheme, input: &str) -> Option<String> {
        let view = View::decode(scheme, input.as_bytes(), End::Closed)?;
        Some(String::from_utf8_lossy(view.bytes()).into_owned())
    }

    #[test]
    fn decodes_each_escape() {
        use Scheme::*;
        let cases = [
            (Percent, "a%2Fb%2fc", "a/b/c"),
            (Percent, "%%41%4", "%A%4"),
            (Percent, "%zz%41", "%zzA"),
            (Json, r#"\"\\\/\b\n\u0041\u004a\x41"#, "\"\\/\u{8}\nAJA"),
            (Json, r"\ud83d\ude00é", "😀é"),
            (Json, r"\ud83dx\u0041\q", r"\ud83dxA\q"),
            (
                Html,
                "&amp;&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;&#0047;",
                "&<>\"''///",
            ),
            (
                Html,
                "&&amp;&nope;&#;&#x;&#xzz;& amp;&#65",
                "&&&nope;&#;&#x;&#xzz;& amp;&#65",
            ),
        ];
        for (scheme, input, expected) in cases {
            assert_eq!(decoded(scheme, input).as_deref(), Some(expected), "{input}");
        }
        assert_eq!(decoded(Percent, "100% \\u0041 &amp;"), None);
    }

    #[test]
    fn finds_the_way_back() {
        let input = br"ab\u0041c\ud83d\ude00d";
        let view = View::decode(Scheme::Json, input, End::Closed).unwrap();
        assert_eq!(view.bytes(), "abAc😀d".as_bytes());
        for (range, expected) in [
            (0..2, 0..2),
            (1..3, 1..8),
            (2..3, 2..8),
            (3..4, 8..9),
            (3..5, 8..21),
            (5..6, 9..21),
            (8..9, 21..22),
            (4..4, 9..9),
        ] {
            assert_eq!(view.to_input(range.clone()), expected, "{range:?}");
        }
    }

    #[test]
    fn waits_for_the_rest_of_an_escape() {
        for (scheme, input) in [
            (Scheme::Percent, "%41%4"),
            (Scheme::Json, r"\u0041\u00"),
            (Scheme::Json, r"\u0041\ud83d\u"),
            (Scheme::Json, r"\u0041\"),
            (Scheme::Html, "&#65;&#6"),
        ] {
            let view = View::decode(scheme, input.as_bytes(), End::Open).unwrap();
            assert_eq!(view.bytes(), b"A", "{input}");
        }
    }
}
