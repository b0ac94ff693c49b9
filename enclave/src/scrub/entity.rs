//! Character references of HTML (WHATWG HTML sections 13.2.5.72 to 13.2.5.80, and 13.5).
use super::{
    End,
    escape::{Digits, MAX_ESCAPE_BYTES, Meaning, Parsed},
};

/// What stands at the start of `from`, an ampersand.
pub(super) fn parse(from: &[u8], end: End) -> Parsed {
    match (from.get(1), from.get(2)) {
        (Some(b'#'), Some(b'x' | b'X')) => number(from, 3, 16, end),
        (Some(b'#'), Some(_)) => number(from, 2, 10, end),
        (None, _) | (Some(b'#'), None) => Parsed::Incomplete,
        _ => named(from),
    }
}

/// A number, with any zeros before it. It need not end with a semicolon.
fn number(from: &[u8], at: usize, radix: u32, end: End) -> Parsed {
    let digits = Digits::read(from, at, radix, MAX_ESCAPE_BYTES - 1 - at);
    match from.get(digits.end) {
        None if end == End::Open => Parsed::Incomplete,
        Some(b';') => digits.escape(digits.end + 1, Meaning::character),
        Some(more) if char::from(*more).is_digit(radix) => Parsed::Literal,
        _ => digits.escape(digits.end, Meaning::character),
    }
}

fn named(from: &[u8]) -> Parsed {
    let head = from.get(1..MAX_ESCAPE_BYTES).or(from.get(1..));
    let head = head.unwrap_or_default();
    let length = head
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let (name, rest) = head.split_at(length);
    match (rest.first(), meaning(name)) {
        (None, _) if head.len() < MAX_ESCAPE_BYTES - 1 => Parsed::Incomplete,
        (Some(b';'), Some(meaning)) => Parsed::escape(length + 2, meaning),
        _ => Parsed::Literal,
    }
}

/// The names of ASCII characters, and of what is taken for one.
fn meaning(name: &[u8]) -> Option<Meaning> {
    let byte = match name {
        b"Tab" => b'\t',
        b"NewLine" => b'\n',
        b"nbsp" => b' ',
        b"excl" => b'!',
        b"quot" | b"QUOT" => b'"',
        b"num" => b'#',
        b"dollar" => b'$',
        b"percnt" => b'%',
        b"amp" | b"AMP" => b'&',
        b"apos" => b'\'',
        b"lpar" => b'(',
        b"rpar" => b')',
        b"ast" | b"midast" => b'*',
        b"plus" => b'+',
        b"comma" => b',',
        b"hyphen" | b"dash" => b'-',
        b"period" => b'.',
        b"sol" => b'/',
        b"colon" => b':',
        b"semi" => b';',
        b"lt" | b"LT" => b'<',
        b"equals" => b'=',
        b"gt" | b"GT" => b'>',
        b"quest" => b'?',
        b"commat" => b'@',
        b"lsqb" | b"lbrack" => b'[',
        b"bsol" => b'\\',
        b"rsqb" | b"rbrack" => b']',
        b"Hat" => b'^',
        b"lowbar" | b"UnderBar" => b'_',
        b"grave" | b"DiacriticalGrave" => b'`',
        b"lcub" | b"lbrace" => b'{',
        b"verbar" | b"vert" | b"VerticalLine" => b'|',
        b"rcub" | b"rbrace" => b'}',
        b"fjlig" => return Some(Meaning::of([b'f', b'j'])),
        _ => return None,
    };
    Some(Meaning::of([byte]))
}
