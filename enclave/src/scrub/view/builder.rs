//! A view, while its input is read.
use core::ops::Range;

use super::{Escape, Input, View};
use crate::{
    scrub::{
        escape::Scheme,
        lines::{Lines, MAX_INDENTATION, is_blank},
    },
    wipe::WipedBuffer,
};

/// Puts a [`View`] together.
pub(super) struct Builder<'i> {
    view: View,
    input: &'i [u8],
    /// How much of the input was read.
    read: usize,
    /// The input's line breaks that were not passed.
    breaks: &'i [usize],
    /// How many blanks would be indentation, here after a line end.
    indentation: usize,
    lines: Lines,
}

impl<'i> Builder<'i> {
    /// Of an input of which nothing was read.
    pub(super) fn new(input: Input<'i>, lines: Lines) -> Self {
        let view = View {
            bytes: WipedBuffer::with_capacity(0),
            escapes: Vec::new(),
            breaks: Vec::new(),
            done: None,
            has_introducers: false,
        };
        Self {
            view,
            input: input.bytes,
            read: 0,
            breaks: input.breaks,
            indentation: 0,
            lines,
        }
    }

    /// The input up to `end` stands for itself, but for indentation.
    fn literal(&mut self, end: usize) {
        let mut bytes = self.input.get(self.read..end).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if self.indentation > 0 {
            bytes = self.after_indentation(bytes);
        }
        self.pass_breaks(end);
        self.view.bytes.append(bytes);
        self.read = end;
    }

    fn after_indentation<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let most = bytes.get(..self.indentation).unwrap_or(bytes);
        let blanks = most.iter().take_while(|b| is_blank(**b)).count();
        if let Some(line_break) = self.view.escapes.last_mut() {
            line_break.input.end += blanks;
        }
        self.read += blanks;
        self.indentation = match blanks == bytes.len() {
            true => self.indentation - blanks,
            false => 0,
        };
        bytes.get(blanks..).unwrap_or_default()
    }

    /// The input at `escape` stands for `meaning`, and what is before it for itself.
    pub(super) fn escape(&mut self, escape: Range<usize>, meaning: &[u8]) {
        if self.view.escapes.is_empty() {
            self.view.bytes = WipedBuffer::with_capacity(self.input.len());
            // A line break in 64 bytes, say: growing would cost more.
            self.view.escapes.reserve(self.input.len() / 64);
        }
        self.literal(escape.start);
        self.pass_breaks(escape.start + 1);
        let start = self.view.bytes.len();
        match meaning {
            b"\n" | b"\r" => {
                self.indentation = MAX_INDENTATION;
                self.add_break(start);
            }
            b" " | b"\t" if self.indentation > 0 => self.indentation -= 1,
            // As a blank there that is not escaped.
            b" " | b"\t" if self.lines == Lines::Fields => self.add_break(start),
            // An escaped NUL byte says no more than one that is not.
            b"" | b"\0" => {}
            _ => {
                self.indentation = 0;
                self.view.bytes.append(meaning);
                self.view.has_introducers |= matches!(meaning, b"\\" | b"%" | b"&");
            }
        }
        self.read = escape.end;
        self.view.escapes.push(Escape {
            input: escape,
            output: start..self.view.bytes.len(),
        });
    }

    /// The view, if it is another text than its input, of which bytes from `end` on are left out.
    /// No escape of the scheme `done` is left that matters.
    pub(super) fn built(mut self, end: usize, done: Option<Scheme>) -> Option<View> {
        if self.view.escapes.is_empty() {
            return None;
        }
        self.literal(end);
        self.pass_breaks(usize::MAX);
        self.view.done = done;
        Some(self.view)
    }

    /// Takes over the line breaks before bytes of the input up to `end`, of which those not read
    /// yet stand for themselves.
    fn pass_breaks(&mut self, end: usize) {
        while let Some((at, rest)) = self.breaks.split_first()
            && *at < end
        {
            self.breaks = rest;
            self.add_break(self.view.bytes.len() + at.saturating_sub(self.read));
        }
    }

    fn add_break(&mut self, at: usize) {
        if self.view.breaks.last() != Some(&at) {
            self.view.breaks.push(at);
        }
    }
}
