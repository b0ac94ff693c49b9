//! The forms in which a server may render a secret.
use core::ops::Range;

use memchr::memmem;

use super::{
    alphabet::Alphabet,
    lines::{is_blank, without_breaks},
    occurrence::occurrences,
    prefilter::Prefilter,
    rendering::renderings,
};
use crate::{inject::base64, wipe::WipedBuffer};

/// Every form of every needle, with small letters and without line breaks, in one wiped buffer.
pub(super) struct Forms {
    bytes: WipedBuffer,
    forms: Vec<Form>,
    prefilter: Prefilter,
    alphabet: Alphabet,
    longest_needle: usize,
    longest: usize,
    has_blank_line: bool,
    has_data: bool,
}

/// One form to be searched.
struct Form {
    at: Range<usize>,
    around: Around,
    whose: Whose,
}

/// Which needle a form is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// One that holds no other.
    Own,
    /// One that holds another, of which there are forms.
    Containing,
}

/// Base64 characters that the secret shares with its neighbours: the rest of the touched quanta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) before: usize,
    pub(super) after: usize,
}

const NOTHING: Around = Around {
    before: 0,
    after: 0,
};

impl Forms {
    /// The forms of `needles`.
    pub(super) fn new(needles: &[&[u8]]) -> Self {
        let mut gathered = Gathered::new(needles);
        for (at, needle) in needles.iter().enumerate() {
            let known = needles.get(..at).unwrap_or_default();
            if needle.is_empty() || known.contains(needle) {
                continue;
            }
            gathered.add_needle(needle);
            // What holds another needle holds the other's renderings in its own.
            if !known
                .iter()
                .any(|other| memchr::memmem::find(needle, other).is_some())
            {
                for rendering in renderings(needle) {
                    gathered.add_encoded(&rendering);
                }
            }
        }
        gathered.into_forms(needles)
    }

    /// What forms consist of. What stands before or after a needle within another one does not
    /// count: without it, that one is still found for the most part.
    pub(super) fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    /// The length of the longest needle.
    pub(super) fn longest_needle(&self) -> usize {
        self.longest_needle
    }

    /// The length of the longest form.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether a needle could stand across the end of a server-sent event.
    pub(super) fn has_blank_line(&self) -> bool {
        self.has_blank_line
    }

    /// Whether a needle has what begins a line of a server-sent event.
    pub(super) fn has_data(&self) -> bool {
        self.has_data
    }

    /// Calls `found` for each place in `text` where a form stands, in any case of its letters.
    ///
    /// A form stands in a text without line breaks even if it came with some.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(Range<usize>, Around)) {
        let candidates = self.prefilter.candidates(text);
        if candidates.is_empty() {
            return;
        }
        let mut folded = WipedBuffer::copy_of(text);
        folded.as_mut_slice().make_ascii_lowercase();
        for (number, form) in self.forms.iter().enumerate() {
            if candidates.has(number) {
                occurrences(self.bytes_of(form), &folded, |hit| found(hit, form.around));
            }
        }
    }

    fn bytes_of(&self, form: &Form) -> &[u8] {
        self.bytes.get(form.at.clone()).unwrap_or_default()
    }
}

/// Forms, while they are put together.
struct Gathered {
    bytes: WipedBuffer,
    forms: Vec<Form>,
    /// Whose are added.
    whose: Whose,
}

impl Gathered {
    fn new(needles: &[&[u8]]) -> Self {
        let bytes: usize = needles.iter().map(|n| 10 * n.len() + 32).sum();
        Self {
            bytes: WipedBuffer::with_capacity(bytes),
            forms: Vec::with_capacity(8 * needles.len()),
            whose: Whose::Own,
        }
    }

    fn into_forms(self, needles: &[&[u8]]) -> Forms {
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

    fn add_needle(&mut self, needle: &[u8]) {
        let joined = without_breaks(needle);
        self.add(&joined, NOTHING);
        // After a line end, blanks at its start are taken for indentation.
        let indented = joined.iter().take_while(|b| is_blank(**b)).count();
        self.add(joined.get(indented..).unwrap_or_default(), NOTHING);
        if joined.contains(&b' ') {
            // application/x-www-form-urlencoded writes a space as `+`.
            self.add_replaced(&joined, &[(b' ', b'+')], NOTHING);
        }
        self.add_encoded(needle);
    }

    fn add_encoded(&mut self, needle: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn forms_of(needles: &[&str]) -> Vec<String> {
        let needles: Vec<&[u8]> = needles.iter().map(|n| n.as_bytes()).collect();
        let forms = Forms::new(&needles);
        let text = |form| String::from_utf8(forms.bytes_of(form).to_vec()).unwrap();
        forms.forms.iter().map(text).collect()
    }

    #[test]
    fn a_usual_secret_has_few_forms() {
        assert_eq!(
            forms_of(&["sk-live-0123456789"]),
            [
                "sk-live-0123456789",
                "c2stbgl2zs0wmtizndu2nzg5",
                "nrlwxpdmutmdeymzq1njc4o",
                "zay1saxzlltaxmjm0nty3od",
                "736b2d6c6976652d30313233343536373839",
            ]
        );
        assert_eq!(
            forms_of(&["sk-live-0123456789", "sk-live-0123456789"]).len(),
            5
        );
    }

    #[test]
    fn every_form_of_the_shortest_secret_can_be_excluded() {
        for secret in ["0123456789abcdef", "????????????????", "    0123456789ab"] {
            for form in forms_of(&[secret]) {
                assert!(form.len() >= 12, "{form}");
            }
        }
        for form in forms_of(&["0123456789abcdef"]) {
            assert!(form.len() >= 15, "{form}");
        }
    }

    #[test]
    fn what_a_serializer_changes_is_encoded_as_the_serializer_writes_it() {
        let forms = forms_of(&["a\"b/c&0123456789"]);
        for rendered in [
            "a%22b%2Fc%260123456789",
            r#"a\"b/c&0123456789"#,
            "a&quot;b/c&amp;0123456789",
        ] {
            let hex = hex::encode(rendered);
            assert!(forms.contains(&hex), "{rendered}");
        }
    }

    #[test]
    fn line_breaks_are_no_part_of_a_form() {
        let forms = forms_of(&["-----BEGIN\r\n  KEY-----\n"]);
        assert_eq!(
            forms.first().map(String::as_str),
            Some("-----beginkey-----")
        );
    }
}
