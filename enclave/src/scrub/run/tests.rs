//! What is looked into, and what is not.
use super::*;

/// Of forms of sixteen letters or more.
fn alphabet() -> Alphabet {
    Alphabet::new([&b"abcdefghijklmnop"[..], b"0123456789abcdef+/"].into_iter())
}

fn runs(text: &str, lines: Lines, end: End) -> Vec<&str> {
    let alphabet = alphabet();
    let reading = Reading {
        alphabet: &alphabet,
        lines,
        end,
    };
    let of_text = |run: Range<usize>| &text[run];
    let runs = long_runs(text.as_bytes(), reading).into_iter();
    runs.map(of_text).collect()
}

fn closed(text: &str) -> Vec<&str> {
    runs(text, Lines::Text, End::Closed)
}

#[test]
fn words_are_passed_over() {
    for text in [
        "",
        "some words in a line\n    and others,\n\n  or none",
        r#"{"name":"\"a\" and \u00e9","other\n":"x\ny\/z"}"#,
        "<p>&quot;a&quot; &lt;words&gt;</p>",
        "fifteen-letters \nfourteen-lette",
    ] {
        assert_eq!(closed(text), [""; 0], "{text}");
    }
}

#[test]
fn what_could_hold_a_form_is_looked_into() {
    for run in [
        "sixteen--letters",
        "sixteen--l\n        etters",
        "sixteen--l\n  \n\t\t    etters",
        r"sixteen--l\n        etters",
        r"six\n teen\r\n\t  --letters",
        r"six\ teen--letters",
        r"sixteen\u000a   letters",
        r"sixteen\u{a}   letters",
        r"sixteen\x0a   letters",
        r"sixteen\012   letters",
        r"sixteen\U0000000a   letters",
        r"sixteen\\n   letters",
        r"sixteen\u005cn   letters",
        r"sixteen\u005c\u006e   letters",
        "sixteen%0A   letters",
        "sixteen%250A   letters",
        "sixteen&#10;   letters",
        "sixteen&NewLine;   letters",
        "sixteen&amp;#10;   letters",
        "sixteen%26%2310%3B   letters",
        r"sixteen\u0026#10;   letters",
        "s\0i\0x\0t\0\n\0 \0e\0e\0n\0",
    ] {
        let around = [
            ("", ""),
            (" ", " "),
            ("\"", "\","),
            ("word (", ") word"),
            ("é", "é"),
        ];
        for (before, after) in around {
            let text = format!("{before}{run}{after}");
            // A blank near an escape may be taken for more.
            let runs: Vec<_> = closed(&text).into_iter().map(str::trim).collect();
            assert_eq!(runs, [run], "{text}");
        }
    }
}

#[test]
fn a_run_may_lie_anywhere_over_blocks() {
    for before in 0..140 {
        for length in [1, 15, 16, 17, 63, 64, 65, 130] {
            let run = "x".repeat(length);
            let text = format!("{}{run} .", ".".repeat(before));
            let expected = (length >= 16).then_some(&*run);
            // What follows a block without a stop may not be read.
            let found: Vec<_> = closed(&text)
                .into_iter()
                .map(|run| run.trim_end_matches([' ', '.']))
                .collect();
            assert_eq!(found, expected.as_slice(), "{before} {length}");
            if length < BLOCK_BYTES {
                let twice = format!("{text}{run}");
                let all = [expected, expected].into_iter().flatten();
                assert_eq!(closed(&twice), all.collect::<Vec<_>>(), "{before} {length}");
            }
            // A blank after a line end, in the next block.
            let broken = format!("{}\n  {run}", ".".repeat(before));
            let expected: Vec<_> = (length >= 13)
                .then_some(&broken[before..])
                .into_iter()
                .collect();
            assert_eq!(closed(&broken), expected, "{before} {length}");
        }
    }
}

#[test]
fn nothing_is_missed_in_or_after_blocks_that_are_not_read() {
    let after_line_ends = [
        "sixteen--l\n        etters",
        r"sixteen--\u000a        letters",
        r"sixteen--\n        letters",
        "sixteen--%250A        letters",
        "s\0i\0x\0t\0\n\0 \0e\0e\0n\0",
    ];
    for run in after_line_ends {
        for between in 0..2 * MIN_GAP_BYTES {
            let long = "x".repeat(BLOCK_BYTES);
            let text = format!("{long}{}{run}.", ".".repeat(between));
            let runs = closed(&text);
            let is_in = |found: &&str| found.contains(run);
            assert!(runs.iter().any(is_in), "{between} {run}: {runs:?}");
        }
    }
    // As many as are not read, and no more.
    let long = "x".repeat(BLOCK_BYTES);
    let text = format!("{long}{}", ".".repeat(2 * MIN_GAP_BYTES));
    assert_eq!(closed(&text), [&text[..MIN_GAP_BYTES]]);
}

#[test]
fn what_is_cut_may_go_on() {
    for (text, expected) in [
        ("words x", vec!["x"]),
        ("words ", vec![]),
        ("words\n  ", vec!["words\n  "]),
        (r"words \u00", vec![r"\u00"]),
    ] {
        assert_eq!(runs(text, Lines::Text, End::Open), expected, "{text}");
        assert_eq!(closed(text), [""; 0], "{text}");
        // As long as a block or two.
        for before in [64, 128] {
            let before = ".".repeat(before - text.len());
            let text = before + text;
            assert_eq!(runs(&text, Lines::Text, End::Open), expected, "{text}");
        }
    }
}

#[test]
fn lines_of_fields_and_of_events_go_on_after_what_begins_them() {
    let field = "sixteen\tlet ters";
    assert_eq!(runs(field, Lines::Fields, End::Closed), [field]);
    assert_eq!(closed(field), [""; 0]);
    let event = "sixteen\n\ndata: letters";
    assert_eq!(runs(event, Lines::Events, End::Closed), [event]);
    assert_eq!(closed(event), [""; 0]);
}

#[test]
fn blanks_that_forms_have_end_nothing() {
    let alphabet = Alphabet::new([&b"some words, as a secret"[..]].into_iter());
    let reading = Reading {
        alphabet: &alphabet,
        lines: Lines::Text,
        end: End::Closed,
    };
    let text = b"\"some words, as a secret\"";
    assert_eq!(long_runs(text, reading), vec![1..text.len() - 1]);
}

#[test]
fn deep_indentation_is_no_run() {
    let text = format!("<x>\n{}<y>", " ".repeat(100));
    assert_eq!(closed(&text), [""; 0]);
}

#[test]
fn runs_side_by_side_are_one_stretch() {
    let run = "sixteen--letters";
    let alphabet = alphabet();
    let reading = Reading {
        alphabet: &alphabet,
        lines: Lines::Text,
        end: End::Closed,
    };
    let parted = 18 + MIN_GAP_BYTES;
    for (between, expected) in [
        (1, &[(2, 35)][..]),
        (MIN_GAP_BYTES - 1, &[(2, parted + 15)]),
        (MIN_GAP_BYTES, &[(2, 18), (parted, parted + 16)]),
    ] {
        let text = format!("..{run}{}{run}..", ".".repeat(between));
        let stretches = stretches(text.as_bytes(), reading).into_iter();
        let places: Vec<_> = stretches.map(|at| (at.start, at.end)).collect();
        assert_eq!(places, expected, "{between}");
    }
}
