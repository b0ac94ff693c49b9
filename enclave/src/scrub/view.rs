//! Decoded views of a window of bytes, and the way back from a view to the bytes.
use core::ops::Range;

use memchr::{memchr, memchr2};

use super::{
    End,
    escape::{Parsed, Scheme},
    lines::{Lines, MAX_INDENTATION, is_blank},
    work,
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
    ///
    /// A line end that was escaped is gone with the blanks after it, as one that was not.
    pub(super) fn decode(scheme: Scheme, input: &[u8], end: End) -> Option<Self> {
        memchr(scheme.introducer(), input)?;
        work::done(input.len());
        let mut view = Builder::new(input.len());
        let mut rest = input;
        while let Some(at) = memchr(scheme.introducer(), rest) {
            let (before, from) = rest.split_at(at);
            view.literal(before);
            let taken = match scheme.parse(from) {
                Parsed::Escape(length, meaning) => {
                    view.escape(length, meaning.bytes());
                    length
                }
                Parsed::Incomplete if end == End::Open => {
                    rest = &[];
                    break;
                }
                Parsed::Literal | Parsed::Incomplete => {
                    view.literal(from.get(..1).unwrap_or_default());
                    1
                }
            };
            rest = from.get(taken..).unwrap_or_default();
        }
        view.literal(rest);
        view.built()
    }

    /// `input` without its line breaks; `None` when there are none.
    pub(super) fn without_breaks(input: &[u8], lines: Lines) -> Option<Self> {
        memchr2(b'\n', b'\r', input)?;
        work::done(input.len());
        let mut view = Builder::new(input.len());
        let mut rest = input;
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let (before, from) = rest.split_at(at);
            view.literal(before);
            let taken = lines.break_length(from);
            view.escape(taken, b"\n");
            rest = from.get(taken..).unwrap_or_default();
        }
        view.literal(rest);
        view.built()
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
}

/// A view, while its input is read.
struct Builder {
    view: View,
    /// How much of the input was read.
    read: usize,
    /// How many blanks would be indentation, here after a line end.
    indentation: usize,
}

impl Builder {
    fn new(input_length: usize) -> Self {
        let view = View {
            bytes: WipedBuffer::with_capacity(input_length),
            escapes: Vec::new(),
        };
        Self {
            view,
            read: 0,
            indentation: 0,
        }
    }

    /// The next bytes stand for themselves, but for indentation.
    fn literal(&mut self, mut bytes: &[u8]) {
        if self.indentation > 0 && !bytes.is_empty() {
            let most = bytes.len().min(self.indentation);
            let could_be = bytes.get(..most).unwrap_or_default();
            let blanks = could_be.iter().take_while(|b| is_blank(**b)).count();
            if let Some(line_break) = self.view.escapes.last_mut() {
                line_break.input.end += blanks;
            }
            self.read += blanks;
            self.indentation -= blanks;
            bytes = bytes.get(blanks..).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            self.indentation = 0;
        }
        self.view.bytes.append(bytes);
        self.read += bytes.len();
    }

    /// The next `length` bytes stand for `meaning`.
    fn escape(&mut self, length: usize, meaning: &[u8]) {
        let start = self.view.bytes.len();
        match meaning {
            b"\n" | b"\r" => self.indentation = MAX_INDENTATION,
            b" " | b"\t" if self.indentation > 0 => self.indentation -= 1,
            _ => {
                self.indentation = 0;
                self.view.bytes.append(meaning);
            }
        }
        self.view.escapes.push(Escape {
            input: self.read..self.read + length,
            output: start..self.view.bytes.len(),
        });
        self.read += length;
    }

    fn built(self) -> Option<View> {
        (!self.view.escapes.is_empty()).then_some(self.view)
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
            (Json, r#"\"\\\/\b\n\u0041\u004a\x41"#, "\"\\/\u{8}AJA"),
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
