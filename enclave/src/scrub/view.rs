//! Decoded views of a window of bytes, and the way back from a view to the bytes.
mod builder;
#[cfg(test)]
mod tests;

use core::ops::Range;

use memchr::{memchr, memchr2};

use self::builder::Builder;
use super::{
    End,
    escape::{Parsed, Scheme},
    lines::Lines,
    work,
};
use crate::wipe::WipedBuffer;

/// Some bytes with one scheme's escapes decoded, or without their line breaks.
pub(super) struct View {
    bytes: WipedBuffer,
    escapes: Vec<Escape>,
    breaks: Vec<usize>,
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
    /// Decodes `input`; `None` when no escape is in it, so that the view would be the input.
    ///
    /// A line end that was escaped is gone with the blanks after it, as one that was not.
    pub(super) fn decode(scheme: Scheme, input: Input<'_>, end: End) -> Option<Self> {
        memchr(scheme.introducer(), input.bytes)?;
        work::done(input.bytes.len());
        let mut view = Builder::new(input);
        let mut rest = input.bytes;
        while let Some(at) = memchr(scheme.introducer(), rest) {
            let (before, from) = rest.split_at(at);
            view.literal(before);
            let (line, end) = match view.next_break() {
                Some(length) => (from.get(..length).unwrap_or(from), End::Closed),
                None => (from, end),
            };
            let taken = match scheme.parse(line, end) {
                Parsed::Escape(length, meaning) => {
                    view.escape(length, meaning.bytes());
                    length
                }
                Parsed::Incomplete => return view.built(),
                Parsed::Literal => {
                    view.literal(from.get(..1).unwrap_or_default());
                    1
                }
            };
            rest = from.get(taken..).unwrap_or_default();
        }
        view.literal(rest);
        view.built()
    }

    /// `bytes` without line breaks; `None` when there are none.
    pub(super) fn without_breaks(bytes: &[u8], lines: Lines) -> Option<Self> {
        memchr2(b'\n', b'\r', bytes)?;
        work::done(bytes.len());
        let mut view = Builder::new(Input { bytes, breaks: &[] });
        let mut rest = bytes;
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

    /// The decoded bytes, and where line breaks were.
    pub(super) fn decoded(&self) -> Input<'_> {
        Input {
            bytes: &self.bytes,
            breaks: &self.breaks,
        }
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
