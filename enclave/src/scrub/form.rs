//! The forms in which a server may render a secret.
use core::ops::Range;

use crate::{inject::base64, wipe::WipedBuffer};

/// Every form of every needle, in one wiped buffer.
pub(super) struct Forms {
    bytes: WipedBuffer,
    forms: Vec<Form>,
    longest_needle: usize,
    has_blank_line: bool,
}

/// One form to be searched.
pub(super) struct Form {
    at: Range<usize>,
    /// Characters before and after a hit that also hold bits of the secret.
    pub(super) around: Around,
    /// Where it is searched.
    pub(super) place: Place,
}

/// Base64 characters that the secret shares with its neighbours: the rest of the touched quanta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) before: usize,
    pub(super) after: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the bytes as they came, and in each decoded view.
    Everywhere,
    /// In the bytes as they came: no server escapes a hexadecimal digit.
    AsCame,
}

const NOTHING: Around = Around {
    before: 0,
    after: 0,
};

impl Forms {
    /// The forms of `needles`.
    pub(super) fn new(needles: &[&[u8]]) -> Self {
        let bytes: usize = needles.iter().map(|n| 14 * n.len() + 32).sum();
        let mut forms = Self {
            bytes: WipedBuffer::with_capacity(bytes),
            forms: Vec::with_capacity(9 * needles.len()),
            longest_needle: 0,
            has_blank_line: false,
        };
        for (at, needle) in needles.iter().enumerate() {
            let is_known = needles.iter().take(at).any(|other| other == needle);
            if !is_known && !needle.is_empty() {
                forms.add_needle(needle);
            }
        }
        forms
    }

    /// The length of the longest needle.
    pub(super) fn longest_needle(&self) -> usize {
        self.longest_needle
    }

    /// Whether a needle could stand across the end of a server-sent event.
    pub(super) fn has_blank_line(&self) -> bool {
        self.has_blank_line
    }

    /// Each form with its bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Form, &[u8])> {
        self.forms
            .iter()
            .filter_map(|form| Some((form, self.bytes.get(form.at.clone())?)))
    }

    fn add_needle(&mut self, needle: &[u8]) {
        let is_line_end = |b: &u8| matches!(b, b'\n' | b'\r');
        self.has_blank_line |= needle.windows(2).any(|pair| pair.iter().all(is_line_end));
        self.longest_needle = self.longest_needle.max(needle.len());
        self.add(needle, NOTHING, Place::Everywhere);
        if needle.contains(&b' ') {
            // application/x-www-form-urlencoded writes a space as `+`.
            self.add_replaced(needle, &[(b' ', b'+')], NOTHING);
        }
        for alignment in 0..3 {
            self.add_base64(needle, alignment);
        }
        self.add_hex(needle, b"0123456789abcdef");
        self.add_hex(needle, b"0123456789ABCDEF");
    }

    /// The characters of the base64 that the needle alone decides, when `alignment` bytes of its
    /// first quantum are another's.
    fn add_base64(&mut self, needle: &[u8], alignment: usize) {
        let mut padded = WipedBuffer::with_capacity(needle.len() + 2);
        padded.append([0; 2].get(..alignment).unwrap_or_default());
        padded.append(needle);
        let before = (alignment * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        let around = Around {
            before,
            after: (4 - end % 4) % 4,
        };
        let encoded = base64(&padded);
        let core = encoded.get(before..end).unwrap_or_default();
        self.add(core, around, Place::Everywhere);
        if core.iter().any(|b| matches!(b, b'+' | b'/')) {
            self.add_replaced(core, &[(b'+', b'-'), (b'/', b'_')], around);
        }
    }

    fn add_hex(&mut self, needle: &[u8], digits: &[u8; 16]) {
        let start = self.bytes.len();
        for byte in needle {
            for nibble in [byte >> 4, byte & 15] {
                self.bytes.append(
                    digits
                        .get(usize::from(nibble)..=usize::from(nibble))
                        .unwrap_or_default(),
                );
            }
        }
        self.end_form(start, NOTHING, Place::AsCame);
    }

    fn add_replaced(&mut self, bytes: &[u8], replaced: &[(u8, u8)], around: Around) {
        let start = self.bytes.len();
        for byte in bytes {
            let other = replaced
                .iter()
                .find(|(from, _)| from == byte)
                .map_or(*byte, |(_, to)| *to);
            self.bytes.append(&[other]);
        }
        self.end_form(start, around, Place::Everywhere);
    }

    fn add(&mut self, bytes: &[u8], around: Around, place: Place) {
        let start = self.bytes.len();
        self.bytes.append(bytes);
        self.end_form(start, around, place);
    }

    fn end_form(&mut self, start: usize, around: Around, place: Place) {
        let at = start..self.bytes.len();
        if !at.is_empty() {
            self.forms.push(Form { at, around, place });
        }
    }
}
