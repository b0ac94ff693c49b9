//! Redacts a secret from a reply while it streams.
//!
//! An upstream may reflect its credential, by mistake or because the caller makes it. Every form
//! in which servers render a text is searched: as it is, in base64 and base64url at any alignment,
//! in hexadecimal, and each but the last also percent-, JSON- and HTML-escaped, wholly, partly, or
//! one within another. What it cannot see, `SECURITY.md` says.
//!
//! Bytes are held back until no form that begins in them could still be incomplete.
mod body;
mod decode;
mod escape;
mod form;
mod head;
mod lines;
mod occurrence;
#[cfg(test)]
mod oracle;
mod prefilter;
mod rendering;
mod search;
#[cfg(test)]
mod tests;
mod view;
mod watch;
mod work;

use core::ops::Range;
use std::sync::Arc;

pub use body::{BodyError, ScrubbedBody};
pub(crate) use body::{Likeness, Reply};
pub(crate) use decode::Encoding;
pub(crate) use head::{announced_trailers, nominated, scrub_fields};
pub(crate) use watch::Watch;

use self::{
    escape::MAX_ESCAPE_BYTES,
    form::Forms,
    lines::Lines,
    search::{MAX_BOUNDARY_BYTES, Views},
};
use crate::wipe::WipedBuffer;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"[redacted]";

/// The most bytes that escaping makes of one, in a text that is escaped throughout, one escape
/// within another: `\u0026#x41;`, `\\u0041`.
const EXPANSION: usize = 12;

/// Fewer bytes than this wait for others, and fewer than half the tail: each search looks through
/// the whole tail again. So an upstream that sends single bytes cannot make it dear, and the work
/// stays linear in the body, however long the secret is.
const MIN_RELEASED_BYTES: usize = 512;

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
    /// What is held back.
    tail: WipedBuffer,
    /// How many bytes at the tail's start belong to a hit whose marker is already out.
    covered: usize,
    acted: bool,
}

impl Scrubber {
    /// A redactor of `needles`: the secret, and what else the request held in its place.
    pub fn new(needles: &[&[u8]], delivery: Delivery) -> Self {
        let mut scrubber = Self {
            forms: Arc::new(Forms::new(needles)),
            delivery: Delivery::FixedTail,
            lines: Lines::OfText,
            tail: WipedBuffer::with_capacity(0),
            covered: 0,
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
            true => Lines::OfEvents,
            false => Lines::OfText,
        };
    }

    /// Watches for the same forms, beside this: see [`Watch`].
    pub(crate) fn watch(&self) -> Watch {
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

    /// A whole text without its secrets; `None` when there are none in it.
    pub fn redact(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let hits = self.hits(text);
        if hits.is_empty() {
            return None;
        }
        self.acted = true;
        let mut out = Vec::with_capacity(text.len());
        release(text, text.len(), 0, &hits, &mut out);
        Some(out)
    }

    /// Whether anything was redacted.
    pub fn acted(&self) -> bool {
        self.acted
    }

    /// Whether a form is in a whole text.
    fn is_in(&self, text: &[u8]) -> bool {
        !self.hits(text).is_empty()
    }

    fn hits(&self, text: &[u8]) -> Vec<Range<usize>> {
        Views::new(text, Lines::OfText, End::Closed).hits(&self.forms)
    }

    fn advance(&mut self, chunk: &[u8], end: End, out: &mut Vec<u8>) {
        self.tail.append(chunk);
        let releasable = self.releasable(&self.tail);
        if end == End::Open && releasable == 0 {
            return;
        }
        let window = std::mem::replace(&mut self.tail, WipedBuffer::with_capacity(0));
        let views = Views::new(&window, self.lines, end);
        let hits = views.hits(&self.forms);
        let cut = match end {
            End::Open => views.boundary(releasable),
            End::Closed => window.len(),
        };
        self.acted |= !hits.is_empty();
        let released_to = release(&window, cut, self.covered, &hits, out);
        self.covered = released_to - cut;
        self.tail = WipedBuffer::copy_of(window.get(cut..).unwrap_or_default());
    }

    /// How much of an open window may leave: all but the tail, or all up to the last event's end.
    fn releasable(&self, window: &[u8]) -> usize {
        let held_back = self.held_back();
        let all_but_tail = match window.len().saturating_sub(held_back) {
            few if few < MIN_RELEASED_BYTES.max(held_back / 2) => 0,
            all_but_tail => all_but_tail,
        };
        match self.delivery {
            Delivery::FixedTail => all_but_tail,
            Delivery::WholeEvents => all_but_tail.max(end_of_events(window)),
        }
    }

    /// Longer than any form, with what is around it, escaped throughout.
    fn held_back(&self) -> usize {
        EXPANSION * (self.forms.longest_needle() + 8) + MAX_ESCAPE_BYTES
    }
}

/// Appends `window[..cut]` to `out`, each hit replaced by a marker. The first `covered` bytes
/// belong to a hit whose marker is out. Returns how far the bytes are dealt with: `cut`, or the end
/// of the hit that lies across it.
fn release(
    window: &[u8],
    cut: usize,
    covered: usize,
    hits: &[Range<usize>],
    out: &mut Vec<u8>,
) -> usize {
    let mut at = covered;
    for hit in hits.iter().take_while(|hit| hit.start < cut) {
        if hit.start >= at {
            out.extend_from_slice(window.get(at..hit.start).unwrap_or_default());
            out.extend_from_slice(REDACTED);
        }
        at = at.max(hit.end);
    }
    if at < cut {
        out.extend_from_slice(window.get(at..cut).unwrap_or_default());
        at = cut;
    }
    at
}

/// The end of the last blank line (WHATWG HTML section 9.2.5: CRLF, LF or CR end a line).
fn end_of_events(window: &[u8]) -> usize {
    [&b"\n\n"[..], b"\n\r\n", b"\r\r"]
        .into_iter()
        .filter_map(|blank| memchr::memmem::rfind(window, blank).map(|at| at + blank.len()))
        .max()
        .unwrap_or(0)
}

const _: () = assert!(MAX_BOUNDARY_BYTES > MAX_ESCAPE_BYTES);
