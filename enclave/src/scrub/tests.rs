//! What is held back, and what passes.
use super::{Delivery, Scrubber};

#[test]
fn what_is_held_back_depends_on_length_alone() {
    let secret = b"0123456789abcdef";
    let released = |body: &[u8]| {
        let mut out = Vec::new();
        Scrubber::new(&[secret], Delivery::FixedTail).push(body, &mut out);
        out.len()
    };
    let plain = released(&[b'x'; 4000]);
    let mut nearly = vec![b'x'; 4000];
    nearly[3985..].copy_from_slice(&secret[..15]);
    assert_eq!(released(&nearly), plain);
    assert!(plain > 3500);
}

#[test]
fn what_is_held_back_is_searched_a_few_times_only_whatever_the_chunks() {
    for length in [64_usize, 200, 16 * 1024] {
        let secret: Vec<u8> = (0..length)
            .map(|at| b"abcdefghijklmnopqrstuvw"[at % 23])
            .collect();
        let mut scrubber = Scrubber::new(&[&secret], Delivery::FixedTail);
        let body = vec![b'.'; 4 * scrubber.held_back()];
        let mut out = Vec::new();
        let mut searches = 0;
        for chunk in body.chunks(64) {
            let before = out.len();
            scrubber.push(chunk, &mut out);
            searches += usize::from(out.len() > before);
        }
        assert!((1..=6).contains(&searches), "{length} {searches}");
        assert!(out.len() > 2 * scrubber.held_back(), "{length}");
    }
}

#[test]
fn whole_events_pass_at_once() {
    let secret = b"0123456789abcdef";
    for end in ["\n\n", "\r\n\r\n", "\r\r"] {
        let mut scrubber = Scrubber::new(&[secret], Delivery::WholeEvents);
        let mut out = Vec::new();
        let event = format!("data: 0123456789abcdef MDEyMzQ1Njc4OWFiY2RlZg==\ndata: x{end}");
        scrubber.push(event.as_bytes(), &mut out);
        let expected = format!("data: [redacted] [redacted]\ndata: x{end}");
        assert_eq!(String::from_utf8_lossy(&out), expected);
        scrubber.push(b"data: 01234", &mut out);
        assert_eq!(out.len(), expected.len(), "half an event is held");
        scrubber.push(b"56789abcdef\n", &mut out);
        assert_eq!(out.len(), expected.len());
        scrubber.push(b"\n", &mut out);
        assert!(out.ends_with(b"\n\n"));
    }
}

#[test]
fn a_secret_with_a_blank_line_is_held_over_events() {
    let secret = b"-----BEGIN\n\nKEY-----";
    let (out, acted) = scrub(
        secret,
        &[b"data: a\n\n-----BEGIN\n\n", b"KEY-----\n\n"],
        Delivery::WholeEvents,
    );
    assert_eq!(String::from_utf8_lossy(&out), "data: a\n\n[redacted]\n\n");
    assert!(acted);
}

#[test]
fn a_run_of_escapes_does_not_lose_the_place() {
    let secret = b"0123456789\\abcdef";
    let escaped = r"0123456789\\abcdef";
    for before in 0..5 {
        let body = format!("{}{escaped}\" ", r"\\".repeat(400 + before));
        for size in [1, 2, 3, 7, 64] {
            let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let (out, _) = scrub(secret, &chunks, Delivery::FixedTail);
            let expected = format!("{}[redacted]\" ", r"\\".repeat(400 + before));
            assert_eq!(String::from_utf8_lossy(&out), expected, "{before} {size}");
        }
    }
}

/// What a scrubber of one needle makes of a body, and whether it acted.
pub(super) fn scrub(needle: &[u8], chunks: &[&[u8]], delivery: Delivery) -> (Vec<u8>, bool) {
    let mut scrubber = Scrubber::new(&[needle], delivery);
    let mut out = Vec::new();
    for chunk in chunks {
        scrubber.push(chunk, &mut out);
    }
    scrubber.finish(&mut out);
    (out, scrubber.acted())
}

/// Chunks of these sizes, over and over.
pub(super) fn chunked<'b>(mut bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        let (chunk, rest) = bytes.split_at(bytes.len().min(*size));
        chunks.push(chunk);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    chunks
}
