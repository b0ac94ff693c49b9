//! Decoded views of a window of bytes, and the way back from a view to the bytes.
mod builder;
#[cfg(test)]
mod tests;

use core::ops::Range;

use memchr::memchr;

use self::builder::Builder;
use super::{
    End,
    alphabet::Alphabet,
    escape::{Parsed, Scheme},
    lines::{Lines, MAX_INDENTATION, Void, is_blank},
    run::Reading,
    work,
};
use crate::wipe::WipedBuffer;

/// Some bytes with one scheme's escapes decoded, or without their line breaks.
pub(super) struct View {
    bytes: WipedBuffer,
    escapes: Vec<Escape>,
    breaks: Vec<usize>,
    done: Option<Scheme>,
    has_introducers: bool,
}

/// A text to be decoded.
#[derive(Clone, Copy)]
pub(super) struct Input<'i> {
    pub(super) bytes: &'i [u8],
    /// Before which bytes a line break was, in order. No escape goes on after one.
    pub(super) breaks: &'i [usize],
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
    /// Decodes `input`; `None` when no escape in it matters, so that the view would be the input.
    ///
    /// A line end that was escaped is gone with the blanks after it, as one that was not.
    pub(super) fn decode(
        scheme: Scheme,
        input: Input<'_>,
        Reading {
            alphabet,
            lines,
            end,
        }: Reading<'_>,
    ) -> Option<Self> {
        let bytes = input.bytes;
        let mut next = memchr(scheme.introducer(), bytes)?;
        work::done(bytes.len());
        let mut view = Builder::new(input, lines);
        let mut done = Some(scheme);
        let mut breaks = input.breaks;
        loop {
            while let Some((_, later)) = breaks.split_first().filter(|(at, _)| **at <= next) {
                breaks = later;
            }
            let (line_end, end) = match breaks.first() {
                Some(line_end) => (*line_end, End::Closed),
                None => (bytes.len(), end),
            };
            let length = match scheme.parse(bytes.get(next..line_end).unwrap_or_default(), end) {
                Parsed::Escape(length, meaning) => {
                    let length = usize::from(length);
                    let escape = next..next + length;
                    let meaning = meaning.bytes();
                    if matters(meaning, &escape, bytes, alphabet) {
                        view.escape(escape, meaning);
                        if meaning.contains(&scheme.introducer()) {
                            done = None;
                        }
                    }
                    length
                }
                Parsed::Incomplete => return view.built(next, done),
                Parsed::Literal => {
                    done = None;
                    1
                }
            };
            let from = next + length;
            match memchr(scheme.introducer(), bytes.get(from..).unwrap_or_default()) {
                Some(at) => next = from + at,
                None => break,
            }
        }
        view.built(bytes.len(), done)
    }

    /// `bytes` without NUL bytes and the line breaks that matter; `None` when there are none.
    pub(super) fn without_breaks(bytes: &[u8], lines: Lines, alphabet: &Alphabet) -> Option<Self> {
        let mut next = lines.find(bytes)?;
        work::done(bytes.len());
        let mut view = Builder::new(Input { bytes, breaks: &[] }, lines);
        loop {
            let (length, meaning): (_, &[u8]) =
                match lines.void(bytes.get(next..).unwrap_or_default()) {
                    Void::Break(length) => (length, b"\n"),
                    Void::Nul(length) => (length, b""),
                };
            let void = next..next + length;
            let from = void.end;
            if matters(meaning, &void, bytes, alphabet) {
                view.escape(void, meaning);
            }
            match lines.find(bytes.get(from..).unwrap_or_default()) {
                Some(at) => next = from + at,
                None => break,
            }
        }
        view.built(bytes.len(), None)
    }

    /// The decoded bytes, and where line breaks were.
    pub(super) fn decoded(&self) -> Input<'_> {
        Input {
            bytes: &self.bytes,
            breaks: &self.breaks,
        }
    }

    /// Whether an escape meant a character that escapes begin with.
    pub(super) fn has_introducers(&self) -> bool {
        self.has_introducers
    }

    /// The scheme of which no escape is in the view, but those that do not matter.
    pub(super) fn done(&self) -> Option<Scheme> {
        self.done
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

/// Whether a form can have what an escape means, or stand after the line end that it means. Where
/// none can, leaving the escape hides nothing: what it means is in no other escape either.
fn matters(meaning: &[u8], escape: &Range<usize>, bytes: &[u8], alphabet: &Alphabet) -> bool {
    if !matches!(meaning, b"\n" | b"\r") {
        return meaning.iter().all(|byte| alphabet.has(*byte));
    }
    let after = bytes.get(escape.end..).unwrap_or_default();
    let most = after.get(..MAX_INDENTATION).unwrap_or(after);
    let blanks = most.iter().take_while(|b| is_blank(**b)).count();
    alphabet.has_introducers() || after.get(blanks).is_none_or(|byte| alphabet.has(*byte))
}
