//! A body in which a secret stands in any form, in chunks of any size: the scrubber and its oracle
//! redact the same.
#![no_main]

#[path = "../../enclave/src/scrub/oracle.rs"]
mod oracle;

use dauth_enclave::scrub::{Delivery, Scrubber};
use libfuzzer_sys::fuzz_target;

use crate::oracle::{Kind, encoded, hits, redacted};

/// Naive as it is, the oracle takes long for more.
const MAX_BODY_BYTES: usize = 3000;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
});

fn check(mut bytes: &[u8]) {
    let length = 16 + usize::from(take(&mut bytes, 1).first().copied().unwrap_or(0) % 32);
    let secret = take(&mut bytes, length);
    let sizes: Vec<usize> = take(&mut bytes, 4)
        .iter()
        .map(|b| 1 + 4 * usize::from(*b))
        .collect();
    if secret.len() < length || sizes.is_empty() {
        return;
    }
    let body = body(secret, bytes);
    let expected = redacted(&[secret], &body, Kind::Text);
    let mut scrubber = Scrubber::new(&[secret], Delivery::FixedTail);
    let mut whole = Vec::new();
    scrubber.push(&body, &mut whole);
    scrubber.finish(&mut whole);
    assert_eq!(whole, expected);
    // A form that is longer than all that is held back may lie over chunks.
    let hits = hits(&[secret], &body, Kind::Text);
    if hits.iter().any(|hit| hit.len() > 16 * length) {
        return;
    }
    let mut scrubber = Scrubber::new(&[secret], Delivery::FixedTail);
    let (mut out, mut at) = (Vec::new(), 0);
    for size in sizes.iter().cycle() {
        let end = body.len().min(at + size);
        scrubber.push(&body[at..end], &mut out);
        at = end;
        if at == body.len() {
            break;
        }
    }
    scrubber.finish(&mut out);
    assert_eq!(out, expected);
    assert_eq!(scrubber.acted(), !hits.is_empty());
}

/// Each byte of `bytes` adds a part, some with more bytes.
fn body(secret: &[u8], mut bytes: &[u8]) -> Vec<u8> {
    let forms = encoded(secret);
    let mut body = Vec::new();
    while let [kind, rest @ ..] = bytes
        && body.len() < MAX_BODY_BYTES
    {
        bytes = rest;
        let form = &forms[usize::from(*kind >> 3) % forms.len()];
        match kind % 8 {
            0 => body.extend_from_slice(take(&mut bytes, usize::from(kind >> 3))),
            1 => body.extend_from_slice(secret),
            2 => body.extend_from_slice(form),
            3 => {
                let width = take(&mut bytes, 1).first().map_or(9, |b| usize::from(b % 64) + 9);
                for line in form.chunks(width) {
                    body.extend_from_slice(line);
                    body.extend_from_slice(match kind >> 6 {
                        0 => b"\n",
                        1 => b"\\n",
                        2 => b"%0D%0A",
                        _ => b"\r\n\t",
                    });
                }
            }
            4 => {
                let ways = take(&mut bytes, secret.len());
                for (byte, way) in secret.iter().zip(ways) {
                    body.extend(written(*byte, *way));
                }
            }
            5 => body.extend(secret.iter().flat_map(|byte| written(*byte, kind >> 3))),
            6 => body.extend_from_slice(&vec![b'.'; 4 * usize::from(*kind)]),
            _ => body.extend_from_slice(form.get(usize::from(kind >> 3)..).unwrap_or_default()),
        }
    }
    body.truncate(MAX_BODY_BYTES);
    body
}

/// A byte in one of the ways in which servers escape it.
fn written(byte: u8, way: u8) -> Vec<u8> {
    let text = match way % 12 {
        0 => format!("%{byte:02X}"),
        1 => format!("%25{byte:02x}"),
        2 if byte.is_ascii() => format!("\\u{byte:04x}"),
        3 if byte.is_ascii() => format!("\\\\u{byte:04x}"),
        4 if byte.is_ascii() => format!("&#{byte};"),
        5 if byte.is_ascii() => format!("&#x{byte:X};"),
        6 if byte.is_ascii() => format!("&amp;#{byte};"),
        7 => format!("\\x{byte:02x}"),
        8 => format!("\\{byte:03o}"),
        9 if byte.is_ascii_punctuation() => format!("\\{}", char::from(byte)),
        _ => return vec![byte],
    };
    text.into_bytes()
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}
