//! What the scrubber must do, in the plainest words: decode the whole body in each way, and try
//! every form at every place.
//!
//! It knows nothing of the crate that it checks, so that the fuzz target can include this file.
use std::ops::Range;

/// A character of a body, or what an escape in it stands for.
#[derive(Clone)]
struct Character {
    byte: u8,
    /// Where it stood in the body.
    from: Range<usize>,
    /// Whether a line break was before it: no escape goes on after that.
    begins_line: bool,
}

/// A text to look for.
struct Form {
    text: Vec<u8>,
    /// How many base64 characters before and after it hold bits of the secret, too.
    before: usize,
    after: usize,
}

/// Whether a body is a stream of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Events,
}

/// The body without the secret.
pub(super) fn redacted(needles: &[&[u8]], body: &[u8], kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for hit in hits(needles, body, kind) {
        out.extend_from_slice(&body[at..hit.start]);
        out.extend_from_slice(b"[redacted]");
        at = hit.end;
    }
    out.extend_from_slice(&body[at..]);
    out
}

/// Where a form stands in the body. What overlaps is one hit.
pub(super) fn hits(needles: &[&[u8]], body: &[u8], kind: Kind) -> Vec<Range<usize>> {
    let forms: Vec<Form> = (0..needles.len())
        .flat_map(|at| forms(needles[at], &needles[..at]))
        .collect();
    let has_data = needles
        .iter()
        .any(|needle| position(needle, b"data:").is_some());
    let kind = if has_data { Kind::Text } else { kind };
    let mut all = Vec::new();
    for view in views(body, kind) {
        for start in 0..view.len() {
            for form in forms
                .iter()
                .filter(|form| stands_at(&form.text, &view[start..]))
            {
                let (first, end) = widened(form, &view, start);
                all.push(view[first].from.start..view[end - 1].from.end);
            }
        }
    }
    all.sort_by_key(|hit| hit.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for hit in all {
        match joined.last_mut() {
            Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
            _ => joined.push(hit),
        }
    }
    joined
}

fn stands_at(form: &[u8], view: &[Character]) -> bool {
    form.len() <= view.len()
        && form
            .iter()
            .zip(view)
            .all(|(byte, character)| byte.eq_ignore_ascii_case(&character.byte))
}

/// The hit at `start` with base64 characters before and after it that stand right beside it.
fn widened(form: &Form, view: &[Character], start: usize) -> (usize, usize) {
    let adjoins = |at: usize| view[at - 1].from.end == view[at].from.start;
    let is_inside =
        |at: usize| view[at].byte.is_ascii_alphanumeric() || b"+/-_".contains(&view[at].byte);
    let (mut first, mut end) = (start, start + form.text.len());
    while first > 0 && start - first < form.before && is_inside(first - 1) && adjoins(first) {
        first -= 1;
    }
    let most = start + form.text.len() + form.after;
    while end < view.len().min(most) && (is_inside(end) || view[end].byte == b'=') && adjoins(end) {
        end += 1;
    }
    (first, end)
}

/// The body without its line breaks; each scheme's escapes decoded in that; and in turn.
fn views(body: &[u8], kind: Kind) -> Vec<Vec<Character>> {
    let characters = body.iter().enumerate();
    let sent: Vec<Character> = characters
        .map(|(at, byte)| Character {
            byte: *byte,
            from: at..at + 1,
            begins_line: false,
        })
        .collect();
    let joined = decoded(&sent, |rest| line_break(rest, kind));
    let schemes = [json, html, percent];
    let mut views = vec![joined.clone()];
    views.extend(schemes.iter().map(|scheme| decoded(&joined, scheme)));
    let mut latest = joined;
    for scheme in schemes.iter().chain(&schemes) {
        latest = decoded(&latest, scheme);
        views.push(latest.clone());
    }
    views
}

/// What an escape means, and its length.
type Escape = (Vec<u8>, usize);

/// Some characters with escapes decoded. A line end that one stands for is gone, with up to eight
/// blanks after it.
fn decoded(input: &[Character], escape: impl Fn(&[u8]) -> Option<Escape>) -> Vec<Character> {
    let bytes: Vec<u8> = input.iter().map(|character| character.byte).collect();
    let mut output: Vec<Character> = Vec::new();
    let (mut indentation, mut begins_line) = (0, false);
    let mut at = 0;
    while at < bytes.len() {
        // No escape is longer than this, and none goes over a line break.
        let most = bytes.len().min(at + 20);
        let next_line = (at + 1..most).find(|next| input[*next].begins_line);
        let found = escape(&bytes[at..next_line.unwrap_or(most)]);
        let is_escape = found.is_some();
        let (meaning, length) = found.unwrap_or((vec![bytes[at]], 1));
        let from = input[at].from.start..input[at + length - 1].from.end;
        begins_line |= input[at].begins_line;
        at += length;
        match meaning[..] {
            [b'\r' | b'\n'] if is_escape => {
                begins_line = true;
                indentation = 8;
            }
            [b' ' | b'\t'] if indentation > 0 => indentation -= 1,
            _ => {
                indentation = 0;
                for byte in meaning {
                    output.push(Character {
                        byte,
                        from: from.clone(),
                        begins_line,
                    });
                    begins_line = false;
                }
            }
        }
    }
    output
}

fn line_break(rest: &[u8], kind: Kind) -> Option<Escape> {
    match rest {
        [b'\r' | b'\n', b'd', b'a', b't', b'a', b':', ..] if kind == Kind::Events => {
            Some((vec![b'\n'], 6))
        }
        [b'\r' | b'\n', ..] => Some((vec![b'\n'], 1)),
        _ => None,
    }
}

fn percent(rest: &[u8]) -> Option<Escape> {
    match rest {
        [b'%', b'u' | b'U', digits @ ..] => Some((utf8(number(digits.get(..4)?, 16)?)?, 6)),
        [b'%', digits @ ..] => Some((byte(number(digits.get(..2)?, 16)?)?, 3)),
        _ => None,
    }
}

fn json(rest: &[u8]) -> Option<Escape> {
    let [b'\\', kind, digits @ ..] = rest else {
        return None;
    };
    match kind {
        b'b' => Some((vec![8], 2)),
        b'f' => Some((vec![12], 2)),
        b'n' => Some((vec![b'\n'], 2)),
        b'r' => Some((vec![b'\r'], 2)),
        b't' => Some((vec![b'\t'], 2)),
        b'x' | b'u' if digits.first() == Some(&b'{') => {
            let close = digits
                .iter()
                .position(|b| *b == b'}')
                .filter(|close| *close <= 9)?;
            Some((utf8(number(&digits[1..close], 16)?)?, close + 3))
        }
        b'x' => Some((byte(number(digits.get(..2)?, 16)?)?, 4)),
        b'u' => {
            let high = number(digits.get(..4)?, 16)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((utf8(high)?, 6));
            }
            let second = digits[4..].strip_prefix(b"\\u")?;
            let text = char::decode_utf16([
                u16::try_from(high).ok()?,
                u16::try_from(number(second.get(..4)?, 16)?).ok()?,
            ]);
            let text: String = text.collect::<Result<_, _>>().ok()?;
            Some((text.into_bytes(), 12))
        }
        b'U' => Some((utf8(number(digits.get(..8)?, 16)?)?, 10)),
        b'0'..=b'7' => (1..=3).rev().find_map(|count| {
            let value = number(rest.get(1..1 + count)?, 8)?;
            Some((byte(value)?, 1 + count))
        }),
        byte if byte.is_ascii_punctuation() || *byte == b' ' => Some((vec![*byte], 2)),
        _ => None,
    }
}

fn html(rest: &[u8]) -> Option<Escape> {
    let rest = rest.strip_prefix(b"&")?;
    for (name, meaning) in NAMES {
        if rest
            .strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.starts_with(b";"))
        {
            return Some((meaning.as_bytes().to_vec(), name.len() + 2));
        }
    }
    let (prefix, radix, most) = match rest {
        [b'#', b'x' | b'X', ..] => (2, 16, 14),
        [b'#', ..] => (1, 10, 15),
        _ => return None,
    };
    let digits = &rest[prefix..];
    let count = digits
        .iter()
        .take_while(|b| char::from(**b).is_digit(radix))
        .count();
    if count > most {
        return None;
    }
    let semicolon = usize::from(digits.get(count) == Some(&b';'));
    Some((
        utf8(number(&digits[..count], radix)?)?,
        1 + prefix + count + semicolon,
    ))
}

const NAMES: [(&str, &str); 49] = [
    ("Tab", "\t"),
    ("NewLine", "\n"),
    ("nbsp", " "),
    ("excl", "!"),
    ("quot", "\""),
    ("QUOT", "\""),
    ("num", "#"),
    ("dollar", "$"),
    ("percnt", "%"),
    ("amp", "&"),
    ("AMP", "&"),
    ("apos", "'"),
    ("lpar", "("),
    ("rpar", ")"),
    ("ast", "*"),
    ("midast", "*"),
    ("plus", "+"),
    ("comma", ","),
    ("hyphen", "-"),
    ("dash", "-"),
    ("period", "."),
    ("sol", "/"),
    ("colon", ":"),
    ("semi", ";"),
    ("lt", "<"),
    ("LT", "<"),
    ("equals", "="),
    ("gt", ">"),
    ("GT", ">"),
    ("quest", "?"),
    ("commat", "@"),
    ("lsqb", "["),
    ("lbrack", "["),
    ("bsol", "\\"),
    ("rsqb", "]"),
    ("rbrack", "]"),
    ("Hat", "^"),
    ("lowbar", "_"),
    ("UnderBar", "_"),
    ("grave", "`"),
    ("DiacriticalGrave", "`"),
    ("lcub", "{"),
    ("lbrace", "{"),
    ("verbar", "|"),
    ("vert", "|"),
    ("VerticalLine", "|"),
    ("rcub", "}"),
    ("rbrace", "}"),
    ("fjlig", "fj"),
];

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let is_number = digits.iter().all(|b| char::from(*b).is_digit(radix));
    u32::from_str_radix(
        std::str::from_utf8(digits).ok().filter(|_| is_number)?,
        radix,
    )
    .ok()
}

fn byte(value: u32) -> Option<Vec<u8>> {
    Some(vec![u8::try_from(value).ok()?])
}

fn utf8(value: u32) -> Option<Vec<u8>> {
    Some(char::from_u32(value)?.to_string().into_bytes())
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The forms of a secret. If it holds another, renderings of that are in all of its own.
fn forms(needle: &[u8], others: &[&[u8]]) -> Vec<Form> {
    let sent: Vec<Character> = needle
        .iter()
        .map(|byte| Character {
            byte: *byte,
            from: 0..0,
            begins_line: false,
        })
        .collect();
    let joined = decoded(&sent, |rest| line_break(rest, Kind::Text));
    let raw: Vec<u8> = joined.iter().map(|character| character.byte).collect();
    let trimmed = raw
        .iter()
        .skip_while(|b| b" \t".contains(b))
        .copied()
        .collect();
    let with_plus = replaced(&raw, &[(b' ', "+")]);
    let mut forms: Vec<Form> = [raw, trimmed, with_plus]
        .into_iter()
        .map(|text| Form {
            text,
            before: 0,
            after: 0,
        })
        .collect();
    let holds_other = others.iter().any(|other| position(needle, other).is_some());
    for text in renderings(needle)
        .into_iter()
        .take(if holds_other { 1 } else { usize::MAX })
    {
        forms.push(Form {
            text: text
                .iter()
                .flat_map(|b| format!("{b:02x}").into_bytes())
                .collect(),
            before: 0,
            after: 0,
        });
        for alignment in 0..3 {
            let before = [0, 2, 3][alignment];
            let end = (text.len() + alignment) * 8 / 6;
            for digits in ["+/", "-_"] {
                let sextet = |at| base64_digit(&text, alignment, at, digits);
                forms.push(Form {
                    text: (before..end).map(sextet).collect(),
                    before,
                    after: (4 - end % 4) % 4,
                });
            }
        }
    }
    forms.retain(|form| !form.text.is_empty());
    forms
}

/// The base64 digit at `at`, when the text begins `alignment` bytes into it.
fn base64_digit(text: &[u8], alignment: usize, at: usize, last: &str) -> u8 {
    let value = (at * 6..at * 6 + 6).fold(0, |value, bit| {
        let byte = text[bit / 8 - alignment];
        value << 1 | usize::from(byte >> (7 - bit % 8) & 1)
    });
    let digits = format!("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789{last}");
    digits.as_bytes()[value]
}

/// A secret as it is, and as serializers write it.
fn renderings(secret: &[u8]) -> Vec<Vec<u8>> {
    let is_unreserved = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let percent = secret.iter().flat_map(|b| match is_unreserved(b) {
        true => vec![*b],
        false => format!("%{b:02X}").into_bytes(),
    });
    let json: &[(u8, &str)] = &[
        (b'"', "\\\""),
        (b'\\', "\\\\"),
        (b'\n', "\\n"),
        (b'\r', "\\r"),
        (b'\t', "\\t"),
        (8, "\\b"),
        (12, "\\f"),
    ];
    let for_html = [(b'<', "\\u003c"), (b'>', "\\u003e"), (b'&', "\\u0026")];
    let html: &[(u8, &str)] = &[(b'&', "&amp;"), (b'<', "&lt;"), (b'>', "&gt;")];
    vec![
        secret.to_vec(),
        percent.collect(),
        replaced(secret, json),
        replaced(secret, &[json, &[(b'/', "\\/")]].concat()),
        replaced(secret, &[json, &for_html].concat()),
        replaced(secret, html),
        replaced(
            secret,
            &[html, &[(b'"', "&quot;"), (b'\'', "&#39;")]].concat(),
        ),
        replaced(
            secret,
            &[html, &[(b'"', "&quot;"), (b'\'', "&#x27;")]].concat(),
        ),
        replaced(
            secret,
            &[html, &[(b'"', "&#34;"), (b'\'', "&#39;")]].concat(),
        ),
    ]
}

fn replaced(text: &[u8], by: &[(u8, &str)]) -> Vec<u8> {
    let written = |byte: &u8| match by.iter().find(|(from, _)| from == byte) {
        Some((_, to)) => to.as_bytes().to_vec(),
        None => vec![*byte],
    };
    text.iter().flat_map(written).collect()
}
