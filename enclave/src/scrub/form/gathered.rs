//! Forms, while they are put together.
use memchr::memmem;

use super::{Around, Form, Forms, Whose};
use crate::{
    inject::base64,
    scrub::{
        alphabet::Alphabet,
        lines::{is_blank, without_breaks},
        prefilter::Prefilter,
    },
    wipe::WipedBuffer,
};

const NOTHING: Around = Around {
    before: 0,
    after: 0,
};

/// Forms that were added.
pub(super) struct Gathered {
    bytes: WipedBuffer,
    forms: Vec<Form>,
    /// Whose are added.
    whose: Whose,
}

impl Gathered {
    /// None yet; with room for those of `needles`.
    pub(super) fn new(needles: &[&[u8]]) -> Self {
        let bytes: usize = needles.iter().map(|n| 10 * n.len() + 32).sum();
        Self {
            bytes: WipedBuffer::with_capacity(bytes),
            forms: Vec::with_capacity(8 * needles.len()),
            whose: Whose::Own,
        }
    }

    /// All of them.
    pub(super) fn into_forms(self, needles: &[&[u8]]) -> Forms {
        let Self { bytes, forms, .. } = self;
        let slices = forms
            .iter()
            .map(|form| bytes.get(form.at.clone()).unwrap_or_default());
        let prefilter = Prefilter::new(slices.clone());
        let own = forms
            .iter()
            .zip(slices)
            .filter(|(form, _)| form.whose == Whose::Own);
        let alphabet = Alphabet::new(own.map(|(_, bytes)| bytes));
        let is_blank_line = |pair: &[u8]| matches!(pair, b"\n\n" | b"\n\r" | b"\r\r");
        let has_blank_line = |n: &&[u8]| n.windows(2).any(is_blank_line);
        let has_data = |n: &&[u8]| memmem::find(n, b"data:").is_some();
        Forms {
            prefilter,
            alphabet,
            longest_needle: needles.iter().map(|n| n.len()).max().unwrap_or(0),
            longest: forms.iter().map(|form| form.at.len()).max().unwrap_or(0),
            has_blank_line: needles.iter().any(has_blank_line),
            has_data: needles.iter().any(has_data),
            bytes,
            forms,
        }
    }

    /// Adds the forms of a needle.
    pub(super) fn add_needle(&mut self, needle: &[u8], whose: Whose) {
        self.whose = whose;
        self.add_plain(&without_breaks(needle));
        self.add_encoded(needle);
    }

    /// Adds the forms of a text without line breaks that is not encoded.
    pub(super) fn add_plain(&mut self, text: &[u8]) {
        self.add(text, NOTHING);
        // After a line end, blanks at its start are taken for indentation.
        let indented = text.iter().take_while(|b| is_blank(**b)).count();
        self.add(text.get(indented..).unwrap_or_default(), NOTHING);
        if text.contains(&b' ') {
            // application/x-www-form-urlencoded writes a space as `+`.
            self.add_replaced(text, &[(b' ', b'+')], NOTHING);
        }
    }

    /// Adds the forms in which a text is encoded as a whole.
    pub(super) fn add_encoded(&mut self, needle: &[u8]) {
        for alignment in 0..3 {
            self.add_base64(needle, alignment);
        }
        self.add_hex(needle);
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
        self.add(core, around);
        if core.iter().any(|b| matches!(b, b'+' | b'/')) {
            self.add_replaced(core, &[(b'+', b'-'), (b'/', b'_')], around);
        }
    }

    fn add_hex(&mut self, needle: &[u8]) {
        let mut encoded = WipedBuffer::copy_of(&vec![0; 2 * needle.len()]);
        // The slice has the exact length.
        let _ = hex::encode_to_slice(needle, encoded.as_mut_slice());
        self.add(&encoded, NOTHING);
    }

    fn add_replaced(&mut self, bytes: &[u8], replaced: &[(u8, u8)], around: Around) {
        let mut other = WipedBuffer::copy_of(bytes);
        for byte in other.as_mut_slice() {
            if let Some((_, to)) = replaced.iter().find(|(from, _)| from == byte) {
                *byte = *to;
            }
        }
        self.add(&other, around);
    }

    /// Adds a form, unless it is there.
    fn add(&mut self, bytes: &[u8], around: Around) {
        let start = self.bytes.len();
        self.bytes.append(bytes);
        let (known, new) = self.bytes.as_mut_slice().split_at_mut(start);
        new.make_ascii_lowercase();
        let is_known = self.forms.iter().any(|form| {
            form.around == around && known.get(form.at.clone()).is_some_and(|form| form == new)
        });
        if new.is_empty() || is_known {
            self.bytes.truncate(start);
        } else {
            self.forms.push(Form {
                at: start..self.bytes.len(),
                around,
                whose: self.whose,
            });
        }
    }
}
