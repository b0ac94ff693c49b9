//! Whether a secret, or a piece of one, can be had from a text. It shares no code with the scrubber
//! and is stricter: it undoes whatever it can, in any order, again and again.
use std::collections::HashSet;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::names::NAMES;

/// A shorter piece of a secret is no use; chance makes them.
pub(super) const PIECE_BYTES: usize = 12;
/// How often it tries to undo something.
const ROUNDS: usize = 5;
/// Shorter runs of base64 or hexadecimal digits hold no piece.
const MIN_RUN_BYTES: usize = 16;

type Undo = fn(&[u8]) -> Vec<u8>;
const UNDO: [Undo; 8] = [
    percent,
    plus,
    backslash,
    entities,
    lines,
    events,
    hexadecimal,
    sextets,
];

/// Whether all of `secret` is in what `text` may be decoded to.
pub(super) fn holds(text: &[u8], secret: &str) -> bool {
    search(text, secret.as_bytes(), secret.len())
}

/// Whether some piece of `secret` is.
pub(super) fn holds_piece(text: &[u8], secret: &str) -> bool {
    search(text, secret.as_bytes(), PIECE_BYTES)
}

fn search(text: &[u8], secret: &[u8], length: usize) -> bool {
    let secret = secret.to_ascii_lowercase();
    let pieces: HashSet<&[u8]> = secret.windows(length).collect();
    let mut seen = HashSet::from([text.to_vec()]);
    let mut round = vec![text.to_vec()];
    for _ in 0..=ROUNDS {
        let mut next = Vec::new();
        for text in round {
            let lower = text.to_ascii_lowercase();
            if lower.windows(length).any(|window| pieces.contains(window)) {
                return true;
            }
            for undone in UNDO.map(|undo| undo(&text)) {
                if undone.len() >= length && seen.insert(undone.clone()) {
                    next.push(undone);
                }
            }
        }
        round = next;
    }
    false
}

/// Replaces what `parse` makes something of: how many bytes, and their meaning.
fn replaced(text: &[u8], parse: impl Fn(&[u8]) -> Option<(usize, Vec<u8>)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, others @ ..] = rest {
        match parse(rest) {
            Some((length, meaning)) => {
                out.extend(meaning);
                rest = &rest[length..];
            }
            None => {
                out.push(*first);
                rest = others;
            }
        }
    }
    out
}

/// The number at the start of `text`, of at most `most` digits, and how many there are.
fn number(text: &[u8], radix: u32, most: usize) -> Option<(usize, u32)> {
    let digits: String = text
        .iter()
        .take(most)
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_digit(radix))
        .collect();
    Some((digits.len(), u32::from_str_radix(&digits, radix).ok()?))
}

/// A number between a prefix and an ending, as a character.
fn coded(
    text: &[u8],
    prefix: &str,
    radix: u32,
    (least, most): (usize, usize),
    ending: &str,
) -> Option<(usize, Vec<u8>)> {
    let start = text.get(..prefix.len())?;
    if !start.eq_ignore_ascii_case(prefix.as_bytes()) {
        return None;
    }
    let (digits, value) = number(&text[prefix.len()..], radix, most)?;
    let length = prefix.len() + digits;
    if digits < least || !text[length..].starts_with(ending.as_bytes()) {
        return None;
    }
    let meaning = char::from_u32(value)?.to_string().into_bytes();
    Some((length + ending.len(), meaning))
}

fn percent(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| {
        coded(at, "%u", 16, (4, 4), "").or_else(|| coded(at, "%", 16, (2, 2), ""))
    })
}

fn plus(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| at.starts_with(b"+").then(|| (1, vec![b' '])))
}

fn backslash(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| {
        coded(at, "\\u{", 16, (1, 8), "}")
            .or_else(|| {
                at.starts_with(b"\\U")
                    .then(|| coded(at, "\\U", 16, (8, 8), ""))?
            })
            .or_else(|| coded(at, "\\u", 16, (4, 4), ""))
            .or_else(|| coded(at, "\\x", 16, (2, 2), ""))
            .or_else(|| coded(at, "\\", 8, (1, 3), ""))
            .or_else(|| match at {
                [b'\\', b'n', ..] => Some((2, vec![b'\n'])),
                [b'\\', b'r', ..] => Some((2, vec![b'\r'])),
                [b'\\', b't', ..] => Some((2, vec![b'\t'])),
                [b'\\', other, ..] if !other.is_ascii_alphanumeric() => Some((2, vec![*other])),
                _ => None,
            })
    })
}

fn entities(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| {
        coded(at, "&#x", 16, (1, 99), ";")
            .or_else(|| coded(at, "&#x", 16, (1, 99), ""))
            .or_else(|| coded(at, "&#", 10, (1, 99), ";"))
            .or_else(|| coded(at, "&#", 10, (1, 99), ""))
            .or_else(|| {
                let body = at.strip_prefix(b"&")?;
                let (name, character) = NAMES
                    .iter()
                    .filter(|(name, _)| body.starts_with(name.as_bytes()))
                    .max_by_key(|(name, _)| name.len())?;
                let ending = usize::from(body[name.len()..].starts_with(b";"));
                Some((1 + name.len() + ending, vec![*character]))
            })
    })
}

/// Joins lines, with their indentation.
fn lines(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| {
        let ends = at.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let blanks = at[ends..].iter().take_while(|b| matches!(b, b' ' | b'\t'));
        (ends > 0).then(|| (ends + blanks.count(), Vec::new()))
    })
}

/// Joins the data of server-sent events.
fn events(text: &[u8]) -> Vec<u8> {
    replaced(text, |at| {
        let ends = at.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let data = at[ends..].strip_prefix(b"data:")?;
        let space = usize::from(data.starts_with(b" "));
        Some((ends + 5 + space, Vec::new()))
    })
}

/// Decodes each run of some characters, from each of `starts`; the rest goes.
fn decoded(
    text: &[u8],
    is_inside: fn(&u8) -> bool,
    starts: usize,
    decode: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    text.split(|byte| !is_inside(byte))
        .filter(|run| run.len() >= MIN_RUN_BYTES)
        .flat_map(|run| (0..starts).map(|start| decode(&run[start..])))
        .collect::<Vec<_>>()
        .join(&b' ')
}

fn hexadecimal(text: &[u8]) -> Vec<u8> {
    decoded(text, u8::is_ascii_hexdigit, 2, |run| {
        hex::decode(&run[..run.len() / 2 * 2]).unwrap()
    })
}

fn sextets(text: &[u8]) -> Vec<u8> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, lenient);
    let is_inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    decoded(text, is_inside, 4, |run| {
        let run: Vec<u8> = run
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            })
            .collect();
        // A single character more than whole quanta holds no byte.
        let length = if run.len() % 4 == 1 {
            run.len() - 1
        } else {
            run.len()
        };
        engine.decode(&run[..length]).unwrap()
    })
}

#[test]
fn finds_pieces_only() {
    let secret = "0123456789abcdefXYZ";
    for text in [
        "x 0123456789ab x",
        "ABCDEFXYZ9876 456789ABCDEFXYZ",
        "%30%31%32%33%34%35%36%37%38%39%61%62",
        "MDEyMzQ1Njc4\nOWFiY2RlZlhZWg",
        "data: 01234567\n\ndata:89abcdef\n\n",
    ] {
        assert!(holds_piece(text.as_bytes(), secret), "{text}");
    }
    for text in [
        "0123456789a",
        "cdefXYZ0123456789a",
        "[redacted]",
        "MDEyMzQ1Njc4",
    ] {
        assert!(!holds_piece(text.as_bytes(), secret), "{text}");
    }
    assert!(!holds(b"0123456789abcdefXY", secret));
    assert!(holds(b"&#x30;123456789abcdefX%59&#90", secret));
}
