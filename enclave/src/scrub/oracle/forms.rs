//! The forms of a secret.
use super::{Character, Form, Kind, decoded, escapes::line_break, holds_other, in_turn};

/// The forms of a secret. If it holds another, renderings of that are in all of its own.
pub(super) fn forms(needle: &[u8], others: &[&[u8]]) -> Vec<Form> {
    let sent: Vec<Character> = needle
        .iter()
        .map(|byte| Character {
            byte: *byte,
            from: 0..0,
            begins_line: false,
        })
        .collect();
    let joined = decoded(&sent, b"", |rest| line_break(rest, Kind::Text));
    let raw: Vec<u8> = joined.iter().map(|character| character.byte).collect();
    let mut forms = not_encoded(raw);
    let count = if holds_other(needle, others) {
        1
    } else {
        usize::MAX
    };
    for text in renderings(needle).into_iter().take(count) {
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
    // As all of it is read where its own escapes are not escaped.
    let every: Vec<u8> = (0..=255).collect();
    let joined = decoded(&sent, &every, |rest| line_break(rest, Kind::Text));
    let bytes = |text: &[Character]| text.iter().map(|c| c.byte).collect::<Vec<u8>>();
    let undone = in_turn(&joined, &every).pop().unwrap_or_default();
    let is_long = undone.iter().filter(|c| !b" \t".contains(&c.byte)).count() >= 15;
    if count > 1 && is_long && bytes(&undone) != bytes(&joined) {
        forms.extend(not_encoded(bytes(&undone)));
    }
    forms.retain(|form| !form.text.is_empty());
    forms
}

/// A text as it is, without blanks at its start, and with `+` for blanks.
fn not_encoded(text: Vec<u8>) -> Vec<Form> {
    let trimmed = text.iter().skip_while(|b| b" \t".contains(b));
    let trimmed = trimmed.copied().collect();
    let with_plus = replaced(&text, &[(b' ', "+")]);
    let all = [text, trimmed, with_plus].into_iter();
    all.map(|text| Form {
        text,
        before: 0,
        after: 0,
    })
    .collect()
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
    let in_capitals = [(b'<', "\\u003C"), (b'>', "\\u003E"), (b'&', "\\u0026")];
    let html: &[(u8, &str)] = &[(b'&', "&amp;"), (b'<', "&lt;"), (b'>', "&gt;")];
    vec![
        secret.to_vec(),
        percent.collect(),
        replaced(secret, json),
        replaced(secret, &[json, &[(b'/', "\\/")]].concat()),
        replaced(secret, &[json, &for_html].concat()),
        replaced(secret, &[json, &in_capitals].concat()),
        replaced(secret, html),
        replaced(
            secret,
            &[html, &[(b'"', "&quot;"), (b'\'', "&#39;")]].concat(),
        ),
        replaced(
            secret,
            &[html, &[(b'"', "&quot;"), (b'\'', "&#039;")]].concat(),
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
