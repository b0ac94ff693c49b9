//! The forms in which a server may render a secret.
mod gathered;

use core::ops::Range;

use memchr::memmem;

use self::gathered::Gathered;
use super::{
    alphabet::Alphabet, occurrence::occurrences, prefilter::Prefilter, rendering::renderings,
    unescaped::unescaped,
};
use crate::wipe::WipedBuffer;

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

impl Forms {
    /// The forms of `needles`.
    pub(super) fn new(needles: &[&[u8]]) -> Self {
        let mut gathered = Gathered::new(needles);
        for (at, needle) in needles.iter().enumerate() {
            let known = needles.get(..at).unwrap_or_default();
            if needle.is_empty() || known.contains(needle) {
                continue;
            }
            let holds = |other: &&[u8]| !other.is_empty() && memmem::find(needle, other).is_some();
            if known.iter().any(holds) {
                // Its renderings hold the other's.
                gathered.add_needle(needle, Whose::Containing);
                continue;
            }
            gathered.add_needle(needle, Whose::Own);
            for rendering in renderings(needle) {
                gathered.add_encoded(&rendering);
            }
            if let Some(unescaped) = unescaped(needle) {
                gathered.add_plain(&unescaped);
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
    pub(super) fn find(&self, text: &[u8], found: impl FnMut(Range<usize>, Around)) {
        self.find_among(text, |_| true, found);
    }

    /// As [`Self::find`], of needles alone that hold another.
    pub(super) fn find_containing(&self, text: &[u8], mut found: impl FnMut(Range<usize>)) {
        let is_containing = |form: &Form| form.whose == Whose::Containing;
        self.find_among(text, is_containing, |hit, _| found(hit));
    }

    fn find_among(
        &self,
        text: &[u8],
        counts: impl Fn(&Form) -> bool,
        mut found: impl FnMut(Range<usize>, Around),
    ) {
        let candidates = self.prefilter.candidates(text);
        if candidates.is_empty() {
            return;
        }
        let mut folded = WipedBuffer::copy_of(text);
        folded.as_mut_slice().make_ascii_lowercase();
        for (number, form) in self.forms.iter().enumerate() {
            if candidates.has(number) && counts(form) {
                occurrences(self.bytes_of(form), &folded, |hit| found(hit, form.around));
            }
        }
    }

    fn bytes_of(&self, form: &Form) -> &[u8] {
        self.bytes.get(form.at.clone()).unwrap_or_default()
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
