//! What each escape means, and the way back.
use super::*;

use crate::scrub::lines::Lines;

/// Everything.
fn alphabet() -> Alphabet {
    let all: Vec<u8> = (0..=255).collect();
    Alphabet::new([&all[..]].into_iter())
}

/// A text without line breaks.
fn text(text: &str) -> Input<'_> {
    Input {
        bytes: text.as_bytes(),
        breaks: &[],
    }
}

fn decode(scheme: Scheme, input: Input<'_>, end: End) -> Option<View> {
    let alphabet = alphabet();
    let lines = Lines::Text;
    let reading = Reading {
        alphabet: &alphabet,
        lines,
        end,
    };
    View::decode(scheme, input, reading)
}

fn decoded(scheme: Scheme, input: &str) -> Option<String> {
    let view = decode(scheme, text(input), End::Closed)?;
    Some(String::from_utf8_lossy(view.decoded().bytes).into_owned())
}

#[test]
fn decodes_each_escape() {
    use Scheme::*;
    let cases = [
        (Percent, "a%2Fb%2fc", "a/b/c"),
        (Percent, "%%41%4", "%A%4"),
        (Percent, "%zz%41", "%zzA"),
        (Percent, "%u0041%U004a%u004%ud83d", "AJ%u004%ud83d"),
        (Json, r#"\"\\\/\b\n\u0041\u004a\x41"#, "\"\\/\u{8}AJA"),
        (Json, r"\ud83d\ude00é", "😀é"),
        (Json, r"\ud83dx\u0041\q\ud83d\u0041", r"\ud83dxA\q\ud83dA"),
        (Json, r"\u{41}\u{00004a}\x{41}\u{}\u{41", r"AJA\u{}\u{41"),
        (Json, r"\U00000041\U0001f600\U0041", r"A😀\U0041"),
        (Json, r"\1018\62\0777\78", "A82?7\u{7}8"),
        (Json, r"\_\-\.\ \+\e", r"_-. +\e"),
        (
            Html,
            "&amp;&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;&#0047;",
            "&<>\"''///",
        ),
        (
            Html,
            "&sol;&lowbar;&UnderBar;&DiacriticalGrave;&fjlig;",
            "/__`fj",
        ),
        (
            Html,
            "&&amp;&nope;&#;&#x;&#xzz;& amp;&Amp;&amp",
            "&&&nope;&#;&#x;&#xzz;& amp;&Amp;&amp",
        ),
        (Html, "&#65g&#x41g&#65&#x4a", "AgAgAJ"),
        (Html, "&#00000000000065;&#x0000000000041;", "AA"),
        (
            Html,
            "&#65;&#0000000000000065;&#4294967361;",
            "A&#0000000000000065;&#4294967361;",
        ),
    ];
    for (scheme, input, expected) in cases {
        assert_eq!(decoded(scheme, input).as_deref(), Some(expected), "{input}");
    }
    assert_eq!(decoded(Percent, "100% \\u0041 &amp;"), None);
}

#[test]
fn finds_the_way_back() {
    let input = r"ab\u0041c\ud83d\ude00d";
    let view = decode(Scheme::Json, text(input), End::Closed).unwrap();
    assert_eq!(view.decoded().bytes, "abAc😀d".as_bytes());
    for (range, expected) in [
        (0..2, 0..2),
        (1..3, 1..8),
        (2..3, 2..8),
        (3..4, 8..9),
        (3..5, 8..21),
        (5..6, 9..21),
        (8..9, 21..22),
        (4..4, 9..9),
    ] {
        assert_eq!(view.to_input(range.clone()), expected, "{range:?}");
    }
}

#[test]
fn waits_for_the_rest_of_an_escape() {
    for (scheme, input) in [
        (Scheme::Percent, "%41%4"),
        (Scheme::Percent, "%41%u004"),
        (Scheme::Json, r"\u0041\u00"),
        (Scheme::Json, r"\u0041\ud83d\u"),
        (Scheme::Json, r"\u0041\u{41"),
        (Scheme::Json, r"\u0041\"),
        (Scheme::Json, r"\u0041\10"),
        (Scheme::Html, "&#65;&#6"),
        (Scheme::Html, "&#65;&#x6"),
        (Scheme::Html, "&#65;&am"),
        (Scheme::Html, "&#65;&#"),
    ] {
        let view = decode(scheme, text(input), End::Open).unwrap();
        assert_eq!(view.decoded().bytes, b"A", "{input}");
    }
}

#[test]
fn line_breaks_are_gone() {
    let joined = |lines, input: &str| {
        let view = View::without_breaks(input.as_bytes(), lines, &alphabet())?;
        Some(String::from_utf8_lossy(view.decoded().bytes).into_owned())
    };
    for (input, of_text, of_events) in [
        ("a\nb\r\n  c\rd", "abcd", "abcd"),
        ("\n\t       b  \n         c", "b   c", "b   c"),
        (
            "data: a\n\ndata: b\r\ndata:c",
            "data: adata: bdata:c",
            "data: abc",
        ),
        ("a\n\n\r\n  \n ", "a", "a"),
    ] {
        assert_eq!(
            joined(Lines::Text, input).as_deref(),
            Some(of_text),
            "{input:?}"
        );
        assert_eq!(
            joined(Lines::Events, input).as_deref(),
            Some(of_events),
            "{input:?}"
        );
    }
    assert_eq!(joined(Lines::Text, "a  b"), None);
    assert_eq!(joined(Lines::Fields, "a  b\nc\td").as_deref(), Some("abcd"));
    let utf_16 = "a\0b\0\r\0\n\0 \0 \0c\0";
    assert_eq!(joined(Lines::Text, utf_16).as_deref(), Some("abc"));
    let utf_32 = "\0\0\0a\0\0\0b";
    assert_eq!(joined(Lines::Text, utf_32).as_deref(), Some("ab"));
    for (scheme, input, expected) in [
        (Scheme::Json, r"a\n  b\r\n\t\t c\nd", "abcd"),
        (Scheme::Percent, "a%0A b%0D%0a%20%09c", "abc"),
        (Scheme::Html, "a&#10; b&NewLine;&Tab;c", "abc"),
    ] {
        assert_eq!(decoded(scheme, input).as_deref(), Some(expected), "{input}");
    }
}

#[test]
fn no_escape_goes_on_after_a_line_break() {
    let twice = |input: &str| {
        let joined = View::without_breaks(input.as_bytes(), Lines::Text, &alphabet()).unwrap();
        let view = decode(Scheme::Html, joined.decoded(), End::Open)?;
        Some(String::from_utf8_lossy(view.decoded().bytes).into_owned())
    };
    assert_eq!(twice("&#65\n1&#6\n6;").as_deref(), Some("A1\u{6}6;"));
    assert_eq!(twice("&#65\n").as_deref(), Some("A"));
    assert_eq!(twice("&am\np;"), None);
    // The break is known in the view of a view, too.
    let joined = View::without_breaks(b"\\u0041&#65\n1", Lines::Text, &alphabet()).unwrap();
    let json = decode(Scheme::Json, joined.decoded(), End::Open).unwrap();
    let html = decode(Scheme::Html, json.decoded(), End::Open).unwrap();
    assert_eq!(html.decoded().bytes, b"AA1");
    let json = decode(Scheme::Json, text(r"&#65\n  1"), End::Open).unwrap();
    let html = decode(Scheme::Html, json.decoded(), End::Open).unwrap();
    assert_eq!(html.decoded().bytes, b"A1");
}
