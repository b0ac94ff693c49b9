//! Decoded views of a window of bytes, and the way back from a view to the bytes.
use core::ops::Range;

use memchr::memchr;

use super::{
    End,
    escape::{Meaning, Parsed, Scheme},
};
use crate::wipe::WipedBuffer;

/// Some bytes with one scheme's escapes decoded.
pub(super) struct View {
    bytes: WipedBuffer,
    escapes: Vec<Escape>,
}

/// Where an escape stood, and what it became.
#[derive(Clone, Debug)]
pub(super) struct Escape {
    /// In the view's input.
    pub(super) input: Range<usize>,
    /// In the view.
    pub(super) output: Range<usize>,
}

impl View {
    /// Decodes `input`; `None` when no escape is in it, so that the view would be the input.
    pub(super) fn decode(scheme: Scheme, input: &[u8], end: End) -> Option<Self> {
        memchr(scheme.introducer(), input)?;
        let mut view = Self {
            bytes: WipedBuffer::with_capacity(input.len()),
            escapes: Vec::new(),
        };
        let mut rest = input;
        while let Some(at) = memchr(scheme.introducer(), rest) {
            let (before, from) = rest.split_at(at);
            view.bytes.append(before);
            let taken = match scheme.parse(from) {
                Parsed::Escape(length, meaning) => {
                    view.push(input.len() - from.len(), length, &meaning);
                    length
                }
                Parsed::Incomplete if end == End::Open => {
                    rest = &[];
                    break;
                }
                Parsed::Literal | Parsed::Incomplete => {
                    view.bytes.append(from.get(..1).unwrap_or_default());
                    1
                }
            };
            rest = from.get(taken..).unwrap_or_default();
        }
        view.bytes.append(rest);
        (!view.escapes.is_empty()).then_some(view)
    }

    /// The decoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The escapes, in order.
    pub(super) fn escapes(&self) -> &[Escape] {
        &self.escapes
    }

    /// The input that became `range`, whole escapes.
    pub(super) fn to_input(&self, range: Range<usize>) -> Range<usize> {
        let start = self.locate(range.start, |escape| escape.input.start);
        let end = match range.end.checked_sub(1) {
            Some(last) if !range.is_empty() => self.locate(last, |escape| escape.input.end - 1) + 1,
            _ => start,
        };
        start..end
    }

    /// Where in the input the byte at `at` stood; `within` chooses where in an escape.
    fn locate(&self, at: usize, within: impl Fn(&Escape) -> usize) -> usize {
        let following = self
            .escapes
            .partition_point(|escape| escape.output.start <= at);
        match following
            .checked_sub(1)
            .and_then(|last| self.escapes.get(last))
        {
            Some(escape) if at < escape.output.end => within(escape),
            Some(escape) => escape.input.end + (at - escape.output.end),
            None => at,
        }
    }

    fn push(&mut self, at: usize, length: usize, meaning: &Meaning) {
        let start = self.bytes.len();
        self.bytes.append(meaning.bytes());
        self.escapes.push(Escape {
            input: at..at + length,
            output: start..self.bytes.len(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(scheme: Scheme, input: &str) -> Option<String> {
        let view = View::decode(scheme, input.as_bytes(), End::Closed)?;
        Some(String::from_utf8_lossy(view.bytes()).into_owned())
    }

    #[test]
    fn decodes_each_escape() {
        use Scheme::*;
        let cases = [
            (Percent, "a%2Fb%2fc", "a/b/c"),
            (Percent, "%%41%4", "%A%4"),
            (Percent, "%zz%41", "%zzA"),
            (Json, r#"\"\\\/\b\n\u0041\u004a\x41"#, "\"\\/\u{8}\nAJA"),
            (Json, r"\ud83d\ude00é", "😀é"),
            (Json, r"\ud83dx\u0041\q", r"\ud83dxA\q"),
            (
                Html,
                "&amp;&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;&#0047;",
                "&<>\"''///",
            ),
            (
                Html,
                "&&amp;&nope;&#;&#x;&#xzz;& amp;&#65",
                "&&&nope;&#;&#x;&#xzz;& amp;&#65",
            ),
        ];
        for (scheme, input, expected) in cases {
            assert_eq!(decoded(scheme, input).as_deref(), Some(expected), "{input}");
        }
        assert_eq!(decoded(Percent, "100% \\u0041 &amp;"), None);
    }

    #[test]
    fn finds_the_way_back() {
        let input = br"ab\u0041c\ud83d\ude00d";
        let view = View::decode(Scheme::Json, input, End::Closed).unwrap();
        assert_eq!(view.bytes(), "abAc😀d".as_bytes());
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
            (Scheme::Json, r"\u0041\u00"),
            (Scheme::Json, r"\u0041\ud83d\u"),
            (Scheme::Json, r"\u0041\"),
            (Scheme::Html, "&#65;&#6"),
        ] {
            let view = View::decode(scheme, input.as_bytes(), End::Open).unwrap();
            assert_eq!(view.bytes(), b"A", "{input}");
        }
    }
}
