//! What is held back, and what passes.
use super::{Delivery, EVENT_CREDIT, EVENT_CREDIT_PER_BYTE, Scrubber, work};

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
    assert!(plain > 3300);
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

#[test]
fn no_body_makes_the_search_dear() {
    const LENGTH: usize = 256 * 1024;
    let key = "sk-live-0123456789abcdefABCDEF0123456789";
    let itself = "ab".repeat(512);
    let cases = [
        (key, "the quick brown fox jumps over the lazy dog. ", 3),
        (
            key,
            "{\"a\": \"the quick brown\\nfox\", \"b\": \"\\/\"},\n",
            8,
        ),
        (key, "c2stbGl2ZS0wMTIzNDU2Nzg5YWJjZGVmQUJDREVGMDEyM\r\n", 6),
        (key, "\n", 6),
        (key, r"\u0026#65;%41", 40),
        (key, r"\\", 40),
        (key, "&amp;amp;", 40),
        (key, "%2525", 40),
        (key, "&#x0000000041;", 40),
        // The blocks of its forms that the first look finds, each where it is looked for.
        (key, "sk-live-c2stbGl2NrLWxpdmzay1saXZ736b2d6c", 40),
        (key, key, 40),
        (&itself, &itself, 60),
        (&itself, "ab", 60),
        (&itself, "abababac", 60),
    ];
    for (secret, unit, most) in cases {
        let body = unit.repeat(LENGTH / unit.len());
        for size in [100, 8192] {
            let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let done = work::counted(|| {
                scrub(secret.as_bytes(), &chunks, Delivery::FixedTail);
            });
            // What is held back is searched again, up to twice.
            let most = most * 3 * LENGTH;
            assert!(done <= most, "{unit:?} in {size}: {done} of {most}");
        }
    }
}

#[test]
fn tiny_events_cost_no_more_than_their_credit() {
    let events = 64 * 1024;
    for event in ["\n\n", ":\n\n", "data: x\n\n"] {
        let length = events * event.len();
        let done = work::counted(|| {
            let mut scrubber = Scrubber::new(&[b"0123456789abcdef"], Delivery::WholeEvents);
            let mut out = Vec::new();
            for _ in 0..events {
                scrubber.push(event.as_bytes(), &mut out);
                out.clear();
            }
        });
        // Once for the runs, once without line breaks, once in the search.
        let most = 3 * (EVENT_CREDIT + EVENT_CREDIT_PER_BYTE * length);
        assert!(done <= most, "{event:?}: {done} of {most}");
    }
}

#[test]
fn events_of_usual_length_never_wait() {
    let mut scrubber = Scrubber::new(&[&[b'k'; 60]], Delivery::WholeEvents);
    let event = b"data: {\"t\":\"a\"}\n\n";
    let mut out = Vec::new();
    for count in 1..20_000 {
        scrubber.push(event, &mut out);
        assert_eq!(out.len(), event.len(), "event {count}");
        out.clear();
    }
}

#[test]
fn a_secret_cut_into_events_loses_its_second_part_and_is_noticed() {
    let secret = b"0123456789abcdef";
    for (first, second, rest) in [
        ("data: 01234567\n\n", "data: 89abcdef\n\n", "[redacted]\n\n"),
        (
            "data: x 0123456789abcde\n\n",
            "data: f y\n\n",
            "[redacted] y\n\n",
        ),
        (
            "data: MDEyMzQ1Njc4\r\n\r\n",
            "data:OWFiY2RlZg==\r\n\r\n",
            "[redacted]\r\n\r\n",
        ),
        (
            "data: \\u0030123456789\n\n",
            "data: abcde&#102\n\n",
            "[redacted]\n\n",
        ),
    ] {
        let mut scrubber = Scrubber::new(&[secret], Delivery::WholeEvents);
        let mut out = Vec::new();
        scrubber.push(first.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), first);
        assert!(!scrubber.acted());
        scrubber.push(second.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("{first}{rest}"));
        assert!(scrubber.acted());
    }
}

#[test]
fn a_form_that_ends_with_what_begins_an_escape_is_found_before_a_line_end() {
    let secret = b"aaaaaaaaaaaaaaa\\\n";
    let escaped = "%2561".repeat(15);
    for line_end in ["&#10;", r"\u000a", "%0A", "\n"] {
        let body = format!("{escaped}&#92;{line_end}.");
        let (out, acted) = scrub(secret, &[body.as_bytes()], Delivery::FixedTail);
        assert_eq!(
            String::from_utf8_lossy(&out),
            format!("[redacted]{line_end}.")
        );
        assert!(acted);
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

#[test]
fn a_wide_encoding_hides_nothing() {
    let secret = "sk-live/0123456789";
    for text in [
        secret.to_owned(),
        hex::encode(secret),
        format!("\\u0073{}", &secret[1..]),
    ] {
        let text = format!("<{text}>");
        let wide: [Vec<u8>; 4] = [
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            text.chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect(),
            text.chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        ];
        for body in wide {
            for size in [1, 3, 7, 1000] {
                let chunks: Vec<&[u8]> = body.chunks(size).collect();
                let (out, acted) = scrub(secret.as_bytes(), &chunks, Delivery::FixedTail);
                let out: Vec<u8> = out.into_iter().filter(|byte| *byte != 0).collect();
                assert_eq!(String::from_utf8_lossy(&out), "<[redacted]>", "{size}");
                assert!(acted);
            }
        }
    }
}

#[test]
fn a_secret_that_holds_another_schemes_escape_is_found_in_a_text_escaped_twice() {
    let secret = r#"sk"%41\0123456789&lt;"#;
    let json = |text: &str| serde_json::to_string(text).unwrap();
    for body in [json(&json(secret)), format!("<{}>", json(&json(secret)))] {
        let (out, acted) = scrub(secret.as_bytes(), &[body.as_bytes()], Delivery::FixedTail);
        let out = String::from_utf8_lossy(&out);
        assert!(
            acted && out.contains("[redacted]") && !out.contains("0123456789"),
            "{out}"
        );
    }
}

#[test]
fn a_secret_with_escapes_of_its_own_is_found_where_those_are_left_as_they_are() {
    let found = |secret: &str, written: &str| {
        let body = format!("before {written} after");
        let (out, _) = scrub(secret.as_bytes(), &[body.as_bytes()], Delivery::FixedTail);
        let out = String::from_utf8_lossy(&out);
        assert_eq!(out, "before [redacted] after", "{written}");
    };
    for written in [
        // As `requote_uri` of Python's requests leaves what is an escape already.
        "sk-live+2%22Zb7%41-0&lt;1",
        "sk-live+2&quot;Zb7%41-0&lt;1",
        "sk-live+2%22Zb7%&#52;1-0&lt;1",
        r#"sk-live+2\"Zb7%41-0\u0026lt;1"#,
        "sk-live+2&quot;Zb7%2541-0<1",
    ] {
        found(r#"sk-live+2"Zb7%41-0&lt;1"#, written);
    }
    found("my key%41\"0123456789", "my+key%41%220123456789");
}
