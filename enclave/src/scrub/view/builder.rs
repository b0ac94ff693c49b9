//! A view, while its input is read.
use super::{Escape, Input, View};
use crate::{
    scrub::lines::{MAX_INDENTATION, is_blank},
    wipe::WipedBuffer,
};

/// Puts a [`View`] together.
pub(super) struct Builder<'i> {
    view: View,
    /// How much of the input was read.
    read: usize,
    /// The input's line breaks that were not passed.
    breaks: &'i [usize],
    /// How many blanks would be indentation, here after a line end.
    indentation: usize,
}

impl<'i> Builder<'i> {
    /// Of an input of which nothing was read.
    pub(super) fn new(input: Input<'i>) -> Self {
        let view = View {
            bytes: WipedBuffer::with_capacity(input.bytes.len()),
            escapes: Vec::new(),
            breaks: Vec::with_capacity(input.breaks.len()),
        };
        Self {
            view,
            read: 0,
            breaks: input.breaks,
            indentation: 0,
        }
    }

    /// How far it is to the next line break of the input.
    pub(super) fn next_break(&mut self) -> Option<usize> {
        self.pass_breaks(self.read + 1);
        self.breaks.first().map(|at| at - self.read)
    }

    /// The next bytes stand for themselves, but for indentation.
    pub(super) fn literal(&mut self, mut bytes: &[u8]) {
        if self.indentation > 0 && !bytes.is_empty() {
            bytes = self.after_indentation(bytes);
        }
        self.pass_breaks(self.read + bytes.len());
        self.view.bytes.append(bytes);
        self.read += bytes.len();
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

    /// The next `length` bytes stand for `meaning`.
    pub(super) fn escape(&mut self, length: usize, meaning: &[u8]) {
        self.pass_breaks(self.read + 1);
        let start = self.view.bytes.len();
        match meaning {
            b"\n" | b"\r" => {
                self.indentation = MAX_INDENTATION;
                self.add_break(start);
            }
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

    /// The view, if it is another text than its input.
    pub(super) fn built(mut self) -> Option<View> {
        self.pass_breaks(usize::MAX);
        (!self.view.escapes.is_empty()).then_some(self.view)
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
