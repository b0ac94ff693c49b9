//! What an upstream may try against the search: forms at their longest, and bytes between.
use super::{Delivery, Scrubber, tests::scrub};

/// A key of a usual length, and a long token.
fn secrets() -> [String; 2] {
    let long: String = (0..1500_u32)
        .map(|at| char::from_u32(u32::from(b'0') + at * at % 10).unwrap())
        .collect();
    [
        "sk_live-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(),
        long,
    ]
}

fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

/// Escaped throughout, once and twice.
fn escaped(text: &str) -> Vec<String> {
    vec![
        each(text, |b| format!("\\U{b:08x}")),
        each(text, |b| format!("&amp;#x{b:x};")),
        each(text, |b| format!("&#38;#{b};")),
        each(text, |b| format!("%26%23x{b:x}%3B")),
        each(text, |b| format!("\\u0026#x{b:x};")),
        each(text, |b| format!("\\u005cu{b:04x}")),
        each(text, |b| format!("&#x5c;u{b:04x}")),
        each(text, |b| format!("%25{b:02x}")),
    ]
}

#[test]
fn a_form_is_found_whole_however_long_escapes_make_it() {
    for secret in secrets() {
        for form in [
            hex::encode(&secret),
            hex::encode_upper(&secret),
            secret.clone(),
        ] {
            for text in escaped(&form) {
                let body = format!("{}{text}{}", ".".repeat(3000), ".".repeat(3000));
                for size in [100, 600, 4096] {
                    let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
                    let (out, acted) = scrub(secret.as_bytes(), &chunks, Delivery::FixedTail);
                    assert!(acted, "{} in {size}", &text[..60]);
                    assert_eq!(out.len(), 6000 + 10, "{} in {size}", &text[..60]);
                }
            }
        }
    }
}

#[test]
fn a_nul_byte_that_is_escaped_says_nothing() {
    let secret = b"0123456789\0abcdef";
    for body in [
        "0123456789\\u0000abcdef",
        "0123456789%00abcdef",
        "0123456789&#0;abcdef",
        "0123456789\\0abcdef",
    ] {
        let (out, acted) = scrub(secret, &[body.as_bytes()], Delivery::FixedTail);
        assert!(acted, "{body}");
        assert_eq!(String::from_utf8_lossy(&out), "[redacted]", "{body}");
    }
    let wide = each("0123456789abcdef", |b| format!("{}%00", char::from(b)));
    assert!(scrub(b"0123456789abcdef", &[wide.as_bytes()], Delivery::FixedTail).1);
}

#[test]
fn a_long_form_over_two_events_is_not_completed() {
    for secret in secrets() {
        for from_end in [2, 20] {
            let (first, second) = secret.split_at(secret.len() - from_end);
            for (first, second) in escaped(first).into_iter().zip(escaped(second)) {
                let mut scrubber = Scrubber::new(&[secret.as_bytes()], Delivery::WholeEvents);
                let mut out = Vec::new();
                scrubber.push(format!("data: {first}\n\n").as_bytes(), &mut out);
                let before = out.len();
                scrubber.push(format!("data: {second}\n\n").as_bytes(), &mut out);
                assert!(scrubber.acted(), "{second}");
                let rest = out.split_off(before);
                assert_eq!(String::from_utf8_lossy(&rest), "[redacted]\n\n");
            }
        }
    }
}
