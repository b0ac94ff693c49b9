//! What each escape means.
use super::Kind;

/// What an escape means, and its length.
pub(super) type Escape = (Vec<u8>, usize);

pub(super) fn line_break(rest: &[u8], kind: Kind) -> Option<Escape> {
    match rest {
        [b'\r' | b'\n', b'd', b'a', b't', b'a', b':', rest @ ..] if kind == Kind::Events => {
            Some((vec![b'\n'], 6 + usize::from(rest.starts_with(b" "))))
        }
        [b'\r' | b'\n', ..] => Some((vec![b'\n'], 1)),
        [0, ..] => Some((vec![], 1)),
        _ => None,
    }
}

pub(super) fn percent(rest: &[u8]) -> Option<Escape> {
    match rest {
        [b'%', b'u' | b'U', digits @ ..] => Some((utf8(number(digits.get(..4)?, 16)?)?, 6)),
        [b'%', digits @ ..] => Some((byte(number(digits.get(..2)?, 16)?)?, 3)),
        _ => None,
    }
}

pub(super) fn json(rest: &[u8]) -> Option<Escape> {
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

pub(super) fn html(rest: &[u8]) -> Option<Escape> {
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
