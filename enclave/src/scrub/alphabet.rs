//! The characters that a form can consist of.
//!
//! Most escapes and line ends of a text are where no form can be: `\"`, or a comma at the end of a
//! line. They are left as they are, which is most of the work saved.

use super::run::Stops;

/// The bytes of forms, of escapes, and of line breaks.
pub(super) struct Alphabet {
    has: [bool; 256],
    has_introducers: bool,
    shortest: usize,
    stops: Stops,
}

/// What escapes, line breaks and their indentation consist of, beside letters and digits; and what
/// base64 has around a form.
const ALWAYS: &[u8] = b"%\\&#;{}+/-_=\r\n \t\0";

impl Alphabet {
    /// Of forms, which are given folded.
    pub(super) fn new<'f>(forms: impl Iterator<Item = &'f [u8]> + Clone) -> Self {
        let mut has = [false; 256];
        let mut add = |byte: u8| {
            for byte in [byte, byte.to_ascii_uppercase()] {
                if let Some(place) = has.get_mut(usize::from(byte)) {
                    *place = true;
                }
            }
        };
        let letters_and_digits = (b'a'..=b'z').chain(b'0'..=b'9');
        letters_and_digits
            .chain(ALWAYS.iter().copied())
            .for_each(&mut add);
        let mut of_forms = forms.clone().flatten().copied();
        of_forms.clone().for_each(&mut add);
        let is_free = |byte: u8| match byte {
            // It is no indentation where forms have it.
            b' ' => !of_forms.clone().any(|of_form| of_form == byte),
            _ => !has.get(usize::from(byte)).is_some_and(|has| *has),
        };
        Self {
            stops: Stops::new(is_free),
            has,
            has_introducers: of_forms.any(|byte| matches!(byte, b'\\' | b'%' | b'&')),
            shortest: forms.map(<[u8]>::len).min().unwrap_or(usize::MAX),
        }
    }

    /// The length of the shortest form.
    pub(super) fn shortest(&self) -> usize {
        self.shortest
    }

    /// What ends a stretch of text that could hold a form.
    pub(super) fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Whether forms have characters that escapes begin with. One at a form's end would be taken for
    /// the beginning of what follows: the escape of a line end, if that was left.
    pub(super) fn has_introducers(&self) -> bool {
        self.has_introducers
    }

    /// Whether a form, or an escape in one, can have this byte.
    pub(super) fn has(&self, byte: u8) -> bool {
        self.has.get(usize::from(byte)).is_some_and(|has| *has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_forms_and_escapes_have() {
        let alphabet = Alphabet::new([&b"se~ret"[..]].into_iter());
        for byte in *b"se~retAZ09%\\&#;{}+/-_=\r\n \t" {
            assert!(alphabet.has(byte), "{byte}");
        }
        assert!(!alphabet.has_introducers());
        assert!(Alphabet::new([&b"sec%ret"[..]].into_iter()).has_introducers());
        for byte in *b"\"'<>,.:()[]!?\xc3" {
            assert!(!alphabet.has(byte), "{byte}");
        }
    }
}
