//! The scrubber against the oracle, over bodies of any kind in chunks of any size.
use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::{prelude::*, sample::select};

use super::{
    Delivery,
    oracle::{self, Kind, hits, redacted},
    tests::{chunked, scrub},
};

/// Ways to write one character.
const WAYS: u8 = 18;

/// A character, written in one of the ways; in no other than itself beyond them.
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
        7 if plain.is_ascii_punctuation() => format!("\\{plain}"),
        8 => format!("\\u0026#{character};"),
        9 => format!("%u{character:04x}"),
        10 => format!("\\x{character:02x}"),
        11 => format!("\\u{{{character:x}}}"),
        12 => format!("\\U{character:08x}"),
        13 => format!("\\{character:03o}"),
        14 => format!("&#x{character:06x};"),
        15 => format!("&amp;#{character};"),
        16 => match plain {
            '/' => "&sol;".to_owned(),
            '_' => "&lowbar;".to_owned(),
            '=' => "&equals;".to_owned(),
            '"' => "&quot;".to_owned(),
            '+' => "&amp;plus;".to_owned(),
            _ => plain.to_string(),
        },
        17 => format!("%26%23{character}%3B"),
        _ => plain.to_string(),
    }
}

fn all_written(secret: &str, way: u8) -> String {
    secret.bytes().map(|byte| written(byte, way)).collect()
}

/// Secrets as they are issued, and worse.
fn secrets() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z0-9_-]{16,48}",
        1 => "[A-Za-z0-9/+=\" .:]{15,24}x",
        1 => "[ab]{16,20}",
        1 => "[!-~]{16,32}",
        1 => "[a-c]{8}[abu014x%\\\\&#;]{8,24}zz",
        1 => "[A-Za-z0-9/+]{12}\r?\n {0,2}[A-Za-z0-9/+]{12}\n",
    ]
}

/// The secret encoded as a whole, with other bytes before and after it.
fn encoded(secret: &str) -> Vec<String> {
    let mut forms = vec![
        secret.to_owned(),
        secret.to_ascii_uppercase(),
        secret.replace(' ', "+"),
        secret.replace('\n', "\r\n"),
        hex::encode(secret),
        hex::encode_upper(format!("x{secret}")),
        hex::encode(serde_json::to_string(secret).unwrap()),
    ];
    for before in ["", "x", "xy"] {
        for after in ["", "z", "zz"] {
            let encoded = BASE64_STANDARD.encode(format!("{before}{secret}{after}"));
            forms.push(encoded.trim_end_matches('=').to_owned());
            forms.push(encoded.replace('+', "-").replace('/', "_"));
            forms.push(encoded);
        }
    }
    let known = oracle::encoded(secret.as_bytes()).into_iter();
    forms.extend(known.filter_map(|form| String::from_utf8(form).ok()));
    forms
}

/// A text with a line break after every so many characters.
fn broken(text: &str, width: usize, with: &str) -> String {
    let lines: Vec<String> = text
        .chars()
        .collect::<Vec<_>>()
        .chunks(width)
        .map(|line| line.iter().collect())
        .collect();
    lines.join(with)
}

const BREAKS: [&str; 12] = [
    "\n",
    "\r\n",
    "\r",
    "\n        ",
    "\r\n\t",
    r"\n",
    r"\r\n",
    r"\r\n  ",
    "%0A",
    "%0d%0a",
    "&#10;",
    "&NewLine; ",
];

/// A part of a body, made of a secret.
fn part(secret: String) -> impl Strategy<Value = String> {
    let forms = encoded(&secret);
    let ways = prop::collection::vec(prop_oneof![0..WAYS, Just(WAYS)], secret.len());
    let mixed = secret.clone();
    prop_oneof![
        3 => r"[ -~\r\n]{0,16}",
        2 => select(vec!["%", "\\", "&", "&#65", "%41", "\\u0041", "\\\\", "&amp;", "\n\n", "=", "\ndata: "])
            .prop_map(str::to_owned),
        2 => select(forms.clone()),
        2 => (select(forms.clone()), 8..60_usize, select(BREAKS.to_vec()))
            .prop_map(|(form, width, with)| broken(&form, width, with)),
        1 => (select(forms.clone()), 0..WAYS).prop_map(|(form, way)| all_written(&form, way % 6)),
        // As UTF-16 and UTF-32 have it.
        1 => (select(forms), 1..4_usize)
            .prop_map(|(form, count)| form.chars().map(|c| format!("{}{c}", "\0".repeat(count))).collect()),
        2 => ways.prop_map(move |ways| {
            mixed.bytes().zip(ways).map(|(byte, way)| written(byte, way)).collect()
        }),
        1 => (0..WAYS).prop_map(move |way| all_written(&secret, way)),
        1 => (1..400_usize).prop_map(|length| ".".repeat(length)),
    ]
}

fn secret_and_body() -> impl Strategy<Value = (String, String)> {
    secrets().prop_flat_map(|secret| {
        let body = prop::collection::vec(part(secret.clone()), 1..8);
        (Just(secret), body.prop_map(|parts| parts.concat()))
    })
}

proptest! {
    #[test]
    fn a_body_in_chunks_comes_as_the_whole_would(
        (secret, body) in secret_and_body(),
        sizes in prop::collection::vec(1..900_usize, 1..6),
    ) {
        let expected = redacted(&[secret.as_bytes()], body.as_bytes(), Kind::Text);
        let chunks = chunked(body.as_bytes(), &sizes);
        let (out, acted) = scrub(secret.as_bytes(), &chunks, Delivery::FixedTail);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        prop_assert_eq!(acted, body.as_bytes() != expected);
    }

    #[test]
    fn events_come_at_once_and_a_form_over_several_is_not_completed(
        (secret, body) in secret_and_body(),
        width in 30..200_usize,
    ) {
        // Each event alone, as an upstream sends them.
        let body = broken(&body.replace(['\r', '\n'], " "), width, "\n\ndata: ") + "\n\n";
        let events: Vec<&[u8]> = body.split_inclusive("\n\n").map(str::as_bytes).collect();
        let (mut expected, mut is_any) = (Vec::new(), false);
        let mut at = 0;
        for event in &events {
            // What the caller has when a form is whole: all events before this.
            let end = at + event.len();
            for hit in hits(&[secret.as_bytes()], &body.as_bytes()[..end], Kind::Events) {
                is_any = true;
                if hit.end > at {
                    expected.extend_from_slice(&body.as_bytes()[at..hit.start.max(at)]);
                    expected.extend_from_slice(b"[redacted]");
                    at = hit.end;
                }
            }
            expected.extend_from_slice(&body.as_bytes()[at..end]);
            at = end;
        }
        let (out, acted) = scrub(secret.as_bytes(), &events, Delivery::WholeEvents);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        prop_assert_eq!(acted, is_any);
    }

    #[test]
    fn events_in_chunks_of_any_size_show_no_more(
        (secret, body) in secret_and_body(),
        sizes in prop::collection::vec(1..900_usize, 1..6),
    ) {
        let hits = hits(&[secret.as_bytes()], body.as_bytes(), Kind::Events);
        let chunks = chunked(body.as_bytes(), &sizes);
        let (out, acted) = scrub(secret.as_bytes(), &chunks, Delivery::WholeEvents);
        prop_assert_eq!(acted, !hits.is_empty());
        let text = redacted(&[secret.as_bytes()], &out, Kind::Text);
        prop_assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&out));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn wherever_a_body_is_split_it_comes_as_the_whole_would((secret, body) in secret_and_body()) {
        // Bytes before and after, so that what is held back begins at every place of the body.
        let body: String = body.chars().take(700).collect();
        let body = format!("{}{body}{}", ".".repeat(600), ".".repeat(1500));
        let expected = redacted(&[secret.as_bytes()], body.as_bytes(), Kind::Text);
        for split in (1..body.len()).rev() {
            let (first, second) = body.as_bytes().split_at(split);
            let (out, _) = scrub(secret.as_bytes(), &[first, second], Delivery::FixedTail);
            prop_assert_eq!(
                String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "{}", split
            );
        }
    }
}
