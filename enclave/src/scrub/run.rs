//! Stretches of a text in which a form could stand, however it is written there.
//!
//! In most texts, what is between two characters that no form has is shorter than any form: a word
//! between blanks, a name between quotes. No escape or line break in there hides anything, and
//! decoding only makes it shorter. So most of most texts need no decoding, and no search.
mod masks;
#[cfg(test)]
mod tests;

use core::ops::Range;

pub(super) use self::masks::Stops;
use self::masks::{BLOCK_BYTES, Masks};
use super::{
    End,
    alphabet::Alphabet,
    lines::{Lines, MAX_INDENTATION},
    work,
};

/// How far after an escape that may end in a line end blanks are taken for indentation.
const ESCAPED_LINE_END_BYTES: u32 = 32;

/// A bit for each of them.
const NEAR: u64 = (1 << ESCAPED_LINE_END_BYTES) - 1;

/// How a text is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// What forms consist of.
    pub(super) alphabet: &'a Alphabet,
    /// What its line breaks are.
    pub(super) lines: Lines,
    /// Whether it goes on.
    pub(super) end: End,
}

/// Runs with less between them are looked into as one: to begin anew costs as much.
const MIN_GAP_BYTES: usize = 256;

/// After a block without a stop so many are taken to be like it: most often they are, and what is
/// looked into for nothing is no more than between two runs that are near.
const UNREAD_BLOCKS: usize = MIN_GAP_BYTES / BLOCK_BYTES - 1;

/// The parts of `text` to be looked into, in order: all of it in which a form could stand, or begin.
pub(super) fn stretches(text: &[u8], reading: Reading<'_>) -> Vec<Range<usize>> {
    let mut runs = long_runs(text, reading);
    runs.dedup_by(|later, run| {
        let is_near = later.start - run.end < MIN_GAP_BYTES;
        if is_near {
            run.end = later.end;
        }
        is_near
    });
    runs
}

/// Each stretch without a stop that is as long as the shortest form, or goes on after the text.
fn long_runs(text: &[u8], reading: Reading<'_>) -> Vec<Range<usize>> {
    work::done(text.len());
    let shortest = reading.alphabet.shortest();
    let parts = parts(text, reading);
    let mut runs = Vec::new();
    // Each run of so many has this many parts beside each other at its start.
    let step = match shortest {
        0..4 => 1,
        4..16 => 4,
        16..32 => 16,
        _ => 32,
    };
    let mut from = 0;
    while let Some(start) = parts.run_of(step, from).filter(|start| *start < text.len()) {
        let end = parts.stop(start);
        let is_cut = end >= text.len() && reading.end == End::Open;
        if is_cut || end - start >= shortest {
            runs.push(start..end.min(text.len()));
        }
        from = end + 1;
    }
    runs
}

/// A bit for each byte: whether it may be part of a form, of an escape, or of a line break.
struct Parts {
    words: Vec<u64>,
    /// What is beyond the text.
    beyond: u64,
}

fn parts(text: &[u8], reading: Reading<'_>) -> Parts {
    let beyond = match reading.end {
        End::Open => u64::MAX,
        End::Closed => 0,
    };
    let stops = reading.alphabet.stops();
    let mut indentation = Indentation::default();
    let mut words = Vec::with_capacity(text.len() / BLOCK_BYTES + 1);
    let mut rest = text;
    let mut unread = 0;
    while !rest.is_empty() {
        if let Some(after) = rest.get(BLOCK_BYTES..).filter(|_| unread > 0) {
            words.push(u64::MAX);
            indentation = Indentation::UNKNOWN;
            unread -= 1;
            rest = after;
            continue;
        }
        let mut padded = [0; BLOCK_BYTES];
        let block = rest.first_chunk().unwrap_or_else(|| {
            for (to, from) in padded.iter_mut().zip(rest) {
                *to = *from;
            }
            &padded
        });
        let masks = Masks::of(block, stops, reading.lines);
        let parts = !masks.stops & !(masks.blanks & !indentation.among(&masks, rest));
        let is_beyond = u64::MAX.checked_shl(bits(rest.len())).unwrap_or_default();
        words.push(parts & !is_beyond | beyond & is_beyond);
        if parts == u64::MAX {
            unread = UNREAD_BLOCKS;
        }
        rest = rest.get(BLOCK_BYTES..).unwrap_or_default();
    }
    Parts { words, beyond }
}

impl Parts {
    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(self.beyond)
    }

    /// The first place at `from` or later where `length` parts begin, a power of two up to 64.
    fn run_of(&self, length: u32, from: usize) -> Option<usize> {
        let mut known = u64::MAX << (from % BLOCK_BYTES);
        for index in from / BLOCK_BYTES..self.words.len() {
            let (mut starts, mut next) = (self.word(index) & known, self.word(index + 1));
            let mut have = 1;
            while have < length {
                starts &= starts >> have | next << (u64::BITS - have);
                next &= next >> have;
                have *= 2;
            }
            if starts != 0 {
                return Some(index * BLOCK_BYTES + starts.trailing_zeros() as usize);
            }
            known = u64::MAX;
        }
        None
    }

    /// The first place at `from` or later that is no part, or one beyond the text.
    fn stop(&self, from: usize) -> usize {
        let mut known = u64::MAX << (from % BLOCK_BYTES);
        for index in from / BLOCK_BYTES..self.words.len() {
            let stops = !self.word(index) & known;
            if stops != 0 {
                return index * BLOCK_BYTES + stops.trailing_zeros() as usize;
            }
            known = u64::MAX;
        }
        self.words.len() * BLOCK_BYTES
    }
}

/// Tells which blanks could be the indentation of a line, block after block.
#[derive(Default)]
struct Indentation {
    /// Where blanks are indentation because of an escape: in this block, and in the next.
    escaped: u128,
    /// Whether the block before ended in a line end or indentation.
    goes_on: u64,
}

impl Indentation {
    /// After a block that was not read: as far as any could be.
    const UNKNOWN: Self = Self {
        escaped: NEAR as u128,
        goes_on: 1,
    };

    /// Those of a block, with which `from` begins.
    fn among(&mut self, masks: &Masks, from: &[u8]) -> u64 {
        let mut introducers = masks.introducers;
        while introducers != 0 {
            let at = introducers.trailing_zeros();
            introducers &= introducers - 1;
            let escape = from.get(at as usize..).unwrap_or_default();
            self.escaped |= u128::from(after_line_end(escape)) << at;
        }
        let before = masks.line_ends << 1 | self.goes_on;
        let mut indentation = (before | low(self.escaped)) & masks.blanks;
        if indentation != 0 {
            for _ in 1..MAX_INDENTATION {
                indentation |= indentation << 1 & masks.blanks;
            }
        }
        self.goes_on = (masks.line_ends | indentation) >> (u64::BITS - 1);
        self.escaped >>= u64::BITS;
        indentation
    }
}

/// A bit for each byte from an escape on that follows a line end or a blank, if it means one. What
/// is escaped more than once, or at length, could mean one anywhere near.
fn after_line_end(escape: &[u8]) -> u64 {
    match escape {
        [b'\\', b'n' | b'r' | b't', ..] => 1 << 2,
        [b'\\', b' ' | b'\t', ..] => 1 << 1 | 1 << 2,
        [b'\\', b'u' | b'x', b'{', ..]
        | [
            b'\\',
            b'u',
            b'0',
            b'0',
            b'0' | b'2' | b'5' | b'6' | b'7',
            ..,
        ]
        | [b'\\', b'x', b'0' | b'2' | b'5' | b'6' | b'7', ..]
        | [b'\\', b'U' | b'\\' | b'0'..=b'7' | b'&' | b'%', ..] => NEAR,
        [b'\\', ..] => 0,
        [b'&', name @ ..] if NAMES.iter().any(|known| name.starts_with(known)) => 0,
        _ => NEAR,
    }
}

/// Names of characters that texts are full of, and that are part of no escape of a line end.
const NAMES: [&[u8]; 5] = [b"quot;", b"lt;", b"gt;", b"nbsp;", b"apos;"];

/// A number of bytes, as far as a block has them.
fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u64::BITS)
}

/// The lower half.
fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default()
}
