//! The scrubber against a naive search of the whole body.
use core::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;

use super::{Delivery, REDACTED, Scrubber, tests::chunked};

/// What the scrubber must do, in the plainest words: try every form at every place.
fn oracle(needle: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hits: Vec<Range<usize>> = Vec::new();
    for start in 0..body.len() {
        for length in [
            literal(needle, body, start),
            hexadecimal(needle, body, start),
        ] {
            hits.extend(length.map(|length| start..start + length));
        }
        hits.extend(base64(needle, body, start));
    }
    let mut redacted = Vec::new();
    let mut covered: Option<Range<usize>> = None;
    hits.sort_by_key(|hit| hit.start);
    for (at, byte) in body.iter().enumerate() {
        for hit in hits.iter().filter(|hit| hit.start == at) {
            match &mut covered {
                Some(range) if at < range.end => range.end = range.end.max(hit.end),
                _ => {
                    redacted.extend_from_slice(REDACTED);
                    covered = Some(hit.clone());
                }
            }
        }
        if covered.as_ref().is_none_or(|range| at >= range.end) {
            redacted.push(*byte);
        }
    }
    redacted
}

fn literal(needle: &[u8], body: &[u8], start: usize) -> Option<usize> {
    body[start..].starts_with(needle).then_some(needle.len())
}

fn hexadecimal(needle: &[u8], body: &[u8], start: usize) -> Option<usize> {
    let text = body.get(start..start + 2 * needle.len())?;
    (text == hex::encode(needle).as_bytes() || text == hex::encode_upper(needle).as_bytes())
        .then_some(text.len())
}

/// Reads the body as base64 from each place, whatever stands before and after the needle.
fn base64(needle: &[u8], body: &[u8], start: usize) -> Option<Range<usize>> {
    (0..3).find_map(|alignment| {
        let skipped = [0, 2, 3][alignment];
        let end = (needle.len() + alignment) * 8 / 6;
        let core = body.get(start..start + end - skipped)?;
        let is_this = core
            .iter()
            .enumerate()
            .all(|(at, byte)| value(*byte) == Some(six_bits(needle, alignment, at + skipped)));
        let has = |some: &[u8]| core.iter().any(|byte| some.contains(byte));
        if !is_this || (has(b"-_") && has(b"+/")) {
            return None;
        }
        let (before, after) = (&body[..start], &body[start + core.len()..]);
        let is_inside = |byte: &&u8| value(**byte).is_some();
        let left = before
            .iter()
            .rev()
            .take(skipped)
            .take_while(is_inside)
            .count();
        let is_quantum = |byte: &&u8| value(**byte).is_some() || **byte == b'=';
        let right = after
            .iter()
            .take((4 - end % 4) % 4)
            .take_while(is_quantum)
            .count();
        Some(start - left..start + core.len() + right)
    })
}

/// The value of the base64 character at `at`, when the needle begins `alignment` bytes into it.
fn six_bits(needle: &[u8], alignment: usize, at: usize) -> u8 {
    (at * 6..at * 6 + 6).fold(0, |value, bit| {
        let byte = needle[bit / 8 - alignment];
        value << 1 | (byte >> (7 - bit % 8) & 1)
    })
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

pub(super) fn scrub(needle: &[u8], chunks: &[&[u8]], delivery: Delivery) -> (Vec<u8>, bool) {
    let mut scrubber = Scrubber::new(&[needle], delivery);
    let mut out = Vec::new();
    for chunk in chunks {
        scrubber.push(chunk, &mut out);
    }
    scrubber.finish(&mut out);
    (out, scrubber.acted())
}

/// A way to write one character.
fn written(character: u8, way: u8) -> String {
    let plain = char::from(character);
    match way {
        0 => format!("%{character:02x}"),
        1 => format!("%{character:02X}"),
        2 => format!("\\u{character:04x}"),
        3 => format!("\\u{character:04X}"),
        4 => format!("&#{character};"),
        5 => format!("&#x{character:X};"),
        6 => format!("%25{character:02X}"),
        7 if matches!(plain, '"' | '\\' | '/') => format!("\\{plain}"),
        8 => format!("\\u0026#{character};"),
        _ => plain.to_string(),
    }
}

/// Secrets as they are issued, without what introduces an escape: the oracle knows none.
fn secrets() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{16,48}",
        "[A-Za-z0-9/+=\" .:]{15,24}x",
        "[ab]{16,20}",
        r"[!-$'-\[\]-~]{16,32}",
    ]
}

fn alignments(secret: &str) -> Vec<String> {
    let mut forms = vec![
        secret.to_owned(),
        hex::encode(secret),
        hex::encode_upper(secret),
    ];
    for before in ["", "x", "xy"] {
        for after in ["", "z", "zz"] {
            let encoded = BASE64_STANDARD.encode(format!("{before}{secret}{after}"));
            forms.push(encoded.trim_end_matches('=').to_owned());
            forms.push(encoded.replace('+', "-").replace('/', "_"));
            forms.push(encoded);
        }
    }
    forms
}

proptest! {
    #[test]
    fn agrees_with_a_search_of_the_whole(
        secret in secrets(),
        parts in prop::collection::vec((0..40_usize, r"[ -$'-\[\]-~\r\n]{0,12}"), 1..6),
        filler in prop::collection::vec(prop_oneof![Just(0..=0_usize), Just(0..=999)], 6),
        sizes in prop::collection::vec(1..900_usize, 1..6),
        seed in any::<u16>(),
    ) {
        let forms = alignments(&secret);
        let mut body = String::new();
        for ((form, text), filler) in parts.iter().zip(filler) {
            body.push_str(text);
            body.push_str(forms.get(*form).map_or("", String::as_str));
            body.push_str(&".".repeat(usize::from(seed) % (filler.end() + 1)));
        }
        let expected = oracle(secret.as_bytes(), body.as_bytes());
        let chunks = chunked(body.as_bytes(), &sizes);
        for delivery in [Delivery::FixedTail, Delivery::WholeEvents] {
            let (out, acted) = scrub(secret.as_bytes(), &chunks, delivery);
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
            prop_assert_eq!(acted, body.as_bytes() != expected);
        }
    }

    #[test]
    fn no_escape_hides_it(
        secret in "[A-Za-z0-9/+=\" .:_-]{15,40}x",
        ways in prop::collection::vec(0..16_u8, 41),
        before in "[ -~]{0,20}<",
        after in ">[ -~]{0,20}",
        filler in 0..2000_usize,
        sizes in prop::collection::vec(1..900_usize, 1..6),
    ) {
        let escaped: String = secret.bytes().zip(ways).map(|(b, way)| written(b, way)).collect();
        // What stands before must not begin an escape that takes in the secret's first bytes.
        let filler = ".%41\\u0041\\\\&amp; ".repeat(filler / 20);
        let body = format!("{filler}{before}{escaped}{after}{filler}");
        let chunks = chunked(body.as_bytes(), &sizes);
        let (out, _) = scrub(secret.as_bytes(), &chunks, Delivery::FixedTail);
        let out = String::from_utf8_lossy(&out);
        prop_assert_eq!(out, format!("{filler}{before}[redacted]{after}{filler}"));
    }
}

#[test]
fn every_form_at_every_split() {
    let secret = "sk-live_/+\"0123456789 abcdef";
    for form in alignments(secret) {
        at_every_split(secret, &format!("<{form}> tail <{form}>"), |body| {
            String::from_utf8(oracle(secret.as_bytes(), body.as_bytes())).unwrap()
        });
    }
    let mut forms = wholly_escaped(secret);
    for way in 0..9 {
        let partly = |(at, b)| {
            if at % 3 == 0 {
                written(b, way)
            } else {
                written(b, 99)
            }
        };
        forms.push(secret.bytes().enumerate().map(partly).collect());
    }
    forms.push(secret.replace(' ', "+"));
    forms.push(secret.replace(' ', "+").replace('"', "%22"));
    forms.push(
        BASE64_STANDARD
            .encode(secret)
            .replace('+', "%2B")
            .replace('/', "\\/"),
    );
    for form in forms {
        at_every_split(secret, &format!("<{form}> tail <{form}>"), |_| {
            REDACTED_TWICE.to_owned()
        });
    }
}

#[test]
fn a_secret_that_holds_escapes_itself_at_every_split() {
    let secret = r#"a%41b\n&amp;c\"d%2541-\u0041\"#;
    let mut forms = wholly_escaped(secret);
    forms.extend(alignments(secret).into_iter().take(3));
    forms.push(secret.replace('%', "%25"));
    forms.push(secret.replace('&', "&amp;"));
    for form in forms {
        at_every_split(secret, &format!("<{form}\"> tail <{form}\">"), |_| {
            "<[redacted]\"> tail <[redacted]\">".to_owned()
        });
    }
}

const REDACTED_TWICE: &str = "<[redacted]> tail <[redacted]>";

/// Each way of writing for all characters, and as serializers write.
fn wholly_escaped(secret: &str) -> Vec<String> {
    let mut forms: Vec<String> = (0..9)
        .map(|way| secret.bytes().map(|b| written(b, way)).collect())
        .collect();
    forms.retain(|form| form != secret);
    forms.push(
        serde_json::to_string(secret)
            .unwrap()
            .trim_matches('"')
            .to_owned(),
    );
    forms
}

fn at_every_split(secret: &str, body: &str, expected: impl Fn(&str) -> String) {
    // Bytes after it, so that a window may end within the body and another after it.
    let after = ".".repeat(440);
    let expected = format!("{}{after}", expected(body));
    let body = &format!("{body}{after}");
    assert!(expected.contains("[redacted]"), "{body}");
    let scrubbed = |chunks: &[&[u8]], expected: &str, case: usize| {
        let (out, acted) = scrub(secret.as_bytes(), chunks, Delivery::FixedTail);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{body} {case}");
        assert!(acted);
    };
    // Up to about 400 bytes, all of the body is still held back.
    for split in (0..400).step_by(9).chain(400..=body.len()) {
        // The bytes before make the window end within the body, wherever it does.
        let filler = ".".repeat(1280 - split);
        let (body, expected) = (format!("{filler}{body}"), format!("{filler}{expected}"));
        let (first, second) = body.as_bytes().split_at(1280);
        scrubbed(&[first, second], &expected, split);
    }
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    scrubbed(&bytes, &expected, 1);
}
