//! Redacts a secret from a reply while it streams.
//!
//! An upstream may reflect its credential, by mistake or because the caller makes it. Every form
//! in which servers render a text is searched: as it is, in base64 and base64url at any alignment
//! and in hexadecimal, each also percent-, JSON- and HTML-escaped, wholly, partly, or one within
//! another, in either case of its letters, and broken over lines. What it cannot see,
//! `SECURITY.md` says.
//!
//! Bytes are held back until no form that begins in them could still be incomplete. Only events of
//! a stream are let out at once; then what went out last is remembered, so that a form which began
//! in it is not completed.
mod alphabet;
#[cfg(test)]
mod attacks;
mod body;
mod decode;
mod entity;
mod escape;
mod form;
mod head;
mod lines;
mod occurrence;
#[cfg(test)]
mod oracle;
mod prefilter;
#[cfg(test)]
mod properties;
mod release;
mod rendering;
mod run;
mod search;
#[cfg(test)]
mod tests;
mod unescaped;
mod view;
mod watch;
mod window;
mod work;

use core::ops::Range;
use std::sync::Arc;

pub use body::{BodyError, ScrubbedBody};
pub(crate) use body::{Likeness, Reply};
pub(crate) use decode::Encoding;
pub(crate) use head::{announced_trailers, nominated, scrub_fields};
pub use watch::Watch;

use self::{
    escape::MAX_ESCAPE_BYTES,
    form::Forms,
    lines::Lines,
    release::{Shown, release},
    run::Reading,
    search::{MAX_BOUNDARY_BYTES, merged},
    window::Window,
};
use crate::wipe::WipedBuffer;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"[redacted]";

/// The most bytes that a server makes of one byte of a secret, in a text that is escaped
/// throughout, one escape within another: `%26%23x41%3B` for each character, of which there are a
/// third more in base64, and twice as many in hexadecimal.
const EXPANSION: usize = 24;

/// The most that line breaks and escapes make of one character of a form: an encoded text of short
/// lines with indentation.
const LINE_EXPANSION: usize = 4;

/// Fewer bytes than this wait for others, and fewer than half the tail: each search looks through
/// the whole tail again. So an upstream that sends single bytes cannot make it dear, and the work
/// stays linear in the body, however long the secret is.
const MIN_RELEASED_BYTES: usize = 512;

/// An event that is let out at once has what went out before it searched once more. So many bytes
/// may be searched for that, and so many for each byte that comes: what an upstream makes of tiny
/// events waits for the next of them, and the work stays linear.
const EVENT_CREDIT: usize = 4 * 1024 * 1024;
const EVENT_CREDIT_PER_BYTE: usize = 64;

/// How bytes are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A tail of fixed length, whatever it contains, so that a delay tells nothing.
    FixedTail,
    /// `text/event-stream`: whole events pass at once. No form lies across a blank line, unless a
    /// needle has one; then a fixed tail is held.
    WholeEvents,
}

/// Whether bytes may follow a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

/// A streaming redactor of some needles.
pub struct Scrubber {
    forms: Arc<Forms>,
    delivery: Delivery,
    lines: Lines,
    /// What is held back, after what is remembered of that which is not.
    tail: WipedBuffer,
    /// How much of the tail's start is out already.
    out_to: usize,
    /// How much of the tail's start is dealt with: what is not out has a marker in its place.
    dealt_to: usize,
    /// Where the last whole event in the tail ends.
    event_to: usize,
    /// How many bytes may be searched so that events pass at once.
    event_credit: usize,
    acted: bool,
}

impl Scrubber {
    /// A redactor of `needles`: the secret, and what else the request held in its place.
    pub fn new(needles: &[&[u8]], delivery: Delivery) -> Self {
        let mut scrubber = Self {
            forms: Arc::new(Forms::new(needles)),
            delivery: Delivery::FixedTail,
            lines: Lines::Text,
            tail: WipedBuffer::with_capacity(0),
            out_to: 0,
            dealt_to: 0,
            event_to: 0,
            event_credit: EVENT_CREDIT,
            acted: false,
        };
        scrubber.deliver(delivery);
        scrubber
    }

    /// Changes how bytes are held back; before the first [`Self::push`].
    pub fn deliver(&mut self, delivery: Delivery) {
        let is_of_events = delivery == Delivery::WholeEvents;
        self.delivery = match delivery {
            Delivery::WholeEvents if self.forms.has_blank_line() => Delivery::FixedTail,
            delivery => delivery,
        };
        self.lines = match is_of_events && !self.forms.has_data() {
            true => Lines::Events,
            false => Lines::Text,
        };
    }

    /// Watches for the same forms, beside this: see [`Watch`].
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.forms))
    }

    /// Takes a chunk and appends to `out` what can no longer be part of a secret.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.advance(chunk, End::Open, out);
    }

    /// Appends the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(&[], End::Closed, out);
    }

    /// The value of a field, or several, without its secrets; `None` when there are none in it.
    pub fn redact(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let hits = self.hits(text);
        if hits.is_empty() {
            return None;
        }
        self.acted = true;
        let mut out = Vec::with_capacity(text.len());
        release(
            text,
            &hits,
            Range {
                start: 0,
                end: text.len(),
            },
            Shown::AsSent,
            &mut out,
        );
        Some(out)
    }

    /// Whether anything was redacted.
    pub fn acted(&self) -> bool {
        self.acted
    }

    /// Whether a form is in the value of a field.
    fn is_in(&self, text: &[u8]) -> bool {
        !self.hits(text).is_empty()
    }

    fn hits(&self, text: &[u8]) -> Vec<Range<usize>> {
        // A secret may have blanks in it, and an encoded one may have them between its lines.
        let lines = [Lines::Text, Lines::Fields];
        let hits = lines.map(|lines| {
            let window = Window::new(text, self.reading(lines, End::Closed));
            window.hits(&self.forms)
        });
        merged(hits.concat())
    }

    fn reading(&self, lines: Lines, end: End) -> Reading<'_> {
        Reading {
            alphabet: self.forms.alphabet(),
            lines,
            end,
        }
    }

    fn advance(&mut self, chunk: &[u8], end: End, out: &mut Vec<u8>) {
        self.take(chunk);
        let cut = match end {
            End::Open => self.releasable(),
            End::Closed => self.tail.len(),
        };
        if end == End::Open && cut <= self.out_to {
            return;
        }
        let bytes = std::mem::replace(&mut self.tail, WipedBuffer::with_capacity(0));
        let window = Window::new(&bytes, self.reading(self.lines, end));
        let hits = window.hits(&self.forms);
        // Decoding begins anew where the next window begins, so no escape may lie across that.
        let (cut, next) = match (end, self.delivery) {
            (End::Closed, _) => (cut, cut),
            (End::Open, Delivery::FixedTail) => {
                let boundary = window.boundary(cut);
                (boundary, boundary)
            }
            (End::Open, Delivery::WholeEvents) => {
                let remembered = cut.saturating_sub(self.remembered(&window));
                (cut, window.boundary(remembered))
            }
        };
        self.acted |= !hits.is_empty();
        let shown = match self.dealt_to > self.out_to {
            true => Shown::Redacted,
            false => Shown::AsSent,
        };
        let dealt_to = release(&bytes, &hits, self.dealt_to..cut, shown, out);
        self.out_to = cut - next;
        self.dealt_to = dealt_to - next;
        self.event_to = self.event_to.saturating_sub(next);
        self.tail = WipedBuffer::copy_of(bytes.get(next..).unwrap_or_default());
    }

    fn take(&mut self, chunk: &[u8]) {
        let before = self.tail.len();
        self.tail.append(chunk);
        if self.delivery == Delivery::WholeEvents {
            // A blank line may have begun before.
            let end = end_of_events(&self.tail, before.saturating_sub(2));
            self.event_to = end.unwrap_or(self.event_to);
            let more = chunk.len().saturating_mul(EVENT_CREDIT_PER_BYTE);
            self.event_credit = EVENT_CREDIT.min(self.event_credit.saturating_add(more));
        }
    }

    /// How much of an open window may leave: all but the tail, or all up to the last event's end.
    fn releasable(&mut self) -> usize {
        let held_back = self.held_back();
        let all_but_tail = self.tail.len().saturating_sub(held_back);
        let all_but_tail = match all_but_tail.saturating_sub(self.out_to) {
            few if few < MIN_RELEASED_BYTES.max(held_back / 2) => 0,
            _ => all_but_tail,
        };
        if self.event_to <= self.out_to.max(all_but_tail) {
            return all_but_tail;
        }
        match self.event_credit.checked_sub(self.tail.len()) {
            Some(rest) => {
                self.event_credit = rest;
                self.event_to
            }
            None => all_but_tail,
        }
    }

    /// How much is remembered of what is out: any form. One of a long secret is only as long as
    /// can be where there are escapes for it.
    fn remembered(&self, window: &Window<'_>) -> usize {
        let without_escapes = LINE_EXPANSION * self.forms.longest_needle() + 1024;
        self.held_back().min(without_escapes + window.undone())
    }

    /// Longer than any form, with what is around it, escaped throughout or broken over lines.
    fn held_back(&self) -> usize {
        let escaped = EXPANSION * (self.forms.longest_needle() + 8);
        let broken = LINE_EXPANSION * (self.forms.longest() + 32);
        escaped.max(broken) + MAX_ESCAPE_BYTES
    }
}

/// The end of the last blank line (WHATWG HTML section 9.2.5: CRLF, LF or CR end a line) that
/// begins at `from` or later.
fn end_of_events(window: &[u8], from: usize) -> Option<usize> {
    let part = window.get(from..).unwrap_or_default();
    [&b"\n\n"[..], b"\n\r\n", b"\r\r"]
        .into_iter()
        .filter_map(|blank| memchr::memmem::rfind(part, blank).map(|at| from + at + blank.len()))
        .max()
}

const _: () = assert!(MAX_BOUNDARY_BYTES > MAX_ESCAPE_BYTES);
