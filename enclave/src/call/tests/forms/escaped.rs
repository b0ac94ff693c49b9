//! The forms in which a secret is escaped.
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};

use super::{
    form::{Form, bearer, each},
    names::NAMES,
};

pub(super) const fn percent() -> Form {
    bearer(|secret| {
        vec![
            each(secret, |c| format!("%{c:02X}")),
            each(secret, |c| format!("%{c:02x}")),
            each(secret, |c| format!("%u{c:04x}")),
            each(secret, uri_component),
        ]
    })
}

pub(super) const fn json() -> Form {
    bearer(|secret| {
        let serialized = serde_json::to_string(secret).unwrap();
        let serialized = serialized[1..serialized.len() - 1].to_owned();
        vec![
            each(secret, |c| format!("\\u{c:04x}")),
            each(secret, |c| format!("\\u{c:04X}")),
            each(secret, |c| format!("\\x{c:02x}")),
            each(secret, |c| format!("\\u{{{c:x}}}")),
            each(secret, |c| format!("\\U{c:08x}")),
            each(secret, |c| format!("\\{c:03o}")),
            serialized.replace('/', "\\/"),
            serialized
                .replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026"),
            serialized,
        ]
    })
}

pub(super) const fn html_decimal() -> Form {
    bearer(|secret| {
        vec![
            each(secret, |c| format!("&#{c};")),
            each(secret, |c| format!("&#{c:05};")),
            each(secret, |c| format!("&#{c}")),
        ]
    })
}

pub(super) const fn html_hex() -> Form {
    bearer(|secret| {
        vec![
            each(secret, |c| format!("&#x{c:x};")),
            each(secret, |c| format!("&#X{c:X};")),
            each(secret, |c| format!("&#x{c:04x};")),
            each(secret, |c| format!("&#x{c:x}")),
        ]
    })
}

/// As a serializer writes the five that it must, and with each name that there is.
pub(super) const fn html_names() -> Form {
    bearer(|secret| {
        let five = |c: u8| {
            let name = ["quot", "amp", "apos", "lt", "gt"]
                .into_iter()
                .find(|name| NAMES.contains(&(name, c)));
            name.map_or_else(|| char::from(c).to_string(), |name| format!("&{name};"))
        };
        let first = |c: u8| {
            let name = NAMES.iter().find(|(_, character)| *character == c);
            name.map_or_else(
                || char::from(c).to_string(),
                |(name, _)| format!("&{name};"),
            )
        };
        let last = |c: u8| {
            let name = NAMES.iter().rfind(|(_, character)| *character == c);
            name.map_or_else(
                || char::from(c).to_string(),
                |(name, _)| format!("&{name};"),
            )
        };
        let all = [each(secret, five), each(secret, first), each(secret, last)];
        all.into_iter().filter(|text| text != secret).collect()
    })
}

/// Each character in another way.
pub(super) const fn mixed() -> Form {
    bearer(|secret| {
        let ways: [fn(u8) -> String; 6] = [
            |c| format!("%{c:02x}"),
            |c| format!("\\u{c:04x}"),
            |c| format!("&#{c};"),
            |c| char::from(c).to_string(),
            |c| format!("&#x{c:x};"),
            |c| format!("\\x{c:02X}"),
        ];
        let by = |ways: &[fn(u8) -> String]| -> String {
            let escape = |(at, c): (usize, u8)| ways[at % ways.len()](c);
            secret.bytes().enumerate().map(escape).collect()
        };
        let base64 = BASE64_STANDARD.encode(secret);
        vec![
            by(&ways),
            by(&ways[1..4]),
            by(&[ways[0], |c| format!("&#{c}")]),
            base64
                .replace('+', "%2B")
                .replace('/', "\\/")
                .replace('=', "&#61;"),
            base64.replace('c', "\\u0063").replace('L', "%4c"),
            hex::encode(secret).replace('6', "&#54;"),
        ]
    })
}

/// Some characters escaped, the others as they are.
pub(super) const fn partial() -> Form {
    bearer(|secret| {
        let ways: [fn(u8) -> String; 4] = [
            |c| format!("%{c:02x}"),
            |c| format!("\\u{c:04x}"),
            |c| format!("&#{c};"),
            |c| format!("&#x{c:x};"),
        ];
        let last = secret.len() - 1;
        let which: [fn(usize, usize) -> bool; 4] = [
            |at, _| at % 3 == 0,
            |at, _| at == 0,
            |at, last| at == last,
            |at, last| at > 0 && at < last,
        ];
        let written = |way: fn(u8) -> String, which: fn(usize, usize) -> bool| -> String {
            let plain = |c| char::from(c).to_string();
            let escape = |(at, c)| if which(at, last) { way(c) } else { plain(c) };
            secret.bytes().enumerate().map(escape).collect()
        };
        let all = |way| which.map(|which| written(way, which));
        ways.into_iter().flat_map(all).collect()
    })
}

/// One escape within another.
pub(super) const fn twice() -> Form {
    bearer(|secret| {
        let serialized = serde_json::to_string(secret).unwrap();
        let again = serde_json::to_string(&serialized).unwrap();
        vec![
            each(secret, |c| format!("%25{c:02X}")),
            each(&each(secret, uri_component), uri_component),
            each(secret, |c| format!("\\\\u{c:04x}")),
            each(secret, |c| format!("&amp;#{c};")),
            each(secret, |c| format!("\\u0026#{c};")),
            each(secret, |c| format!("&#37;{c:02x}")),
            each(secret, |c| format!("\\u0025{c:02x}")),
            each(secret, |c| format!("%5Cu{c:04x}")),
            each(secret, |c| format!("%26%23{c}%3B")),
            each(secret, |c| format!("&#92;u{c:04x}")),
            again[3..again.len() - 3].to_owned(),
            BASE64_STANDARD_NO_PAD.encode(each(secret, uri_component)),
            BASE64_STANDARD_NO_PAD.encode(&serialized[1..serialized.len() - 1]),
        ]
    })
}

/// RFC 3986 section 2.3: what is not unreserved is escaped.
fn uri_component(c: u8) -> String {
    if c.is_ascii_alphanumeric() || b"-._~".contains(&c) {
        char::from(c).to_string()
    } else {
        format!("%{c:02X}")
    }
}
