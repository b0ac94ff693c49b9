//! A DER reader (X.690) for what webpki reads but does not tell: validity and key usage.
//!
//! It walks borrowed bytes, allocates nothing and does not recurse.

/// The tags that are looked for.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0] EXPLICIT`: the version of a certificate.
    pub(crate) const VERSION: u8 = 0xa0;
    /// `[3] EXPLICIT`: the extensions of a certificate.
    pub(crate) const EXTENSIONS: u8 = 0xa3;
}

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is: its tag and contents.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.rest.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // No certificate here is longer than 1024 bytes: two bytes of length are enough.
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, contents) = ahead.any()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(contents)
    }

    /// The next element as a reader of its contents, if it has this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Der<'a>> {
        self.take(tag).map(Der::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_the_three_forms_a_certificate_has() {
        for (head, length) in [
            (&[0x04, 0x7f][..], 0x7f),
            (&[0x04, 0x81, 0x80], 0x80),
            (&[0x04, 0x82, 0x01, 0x00], 0x100),
        ] {
            let mut bytes = head.to_vec();
            bytes.resize(head.len() + length, 0);
            let mut der = Der::new(&bytes);
            assert_eq!(der.take(tag::OCTET_STRING).map(<[u8]>::len), Some(length));
            assert!(der.is_empty());
            // One byte short.
            assert!(Der::new(&bytes[..bytes.len() - 1]).any().is_none());
        }
    }

    #[test]
    fn indefinite_and_huge_lengths_are_refused() {
        for bytes in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x83, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30],
            &[],
        ] {
            assert!(Der::new(bytes).any().is_none());
        }
    }

    #[test]
    fn another_tag_takes_nothing() {
        let mut der = Der::new(&[0x01, 0x01, 0xff]);
        assert_eq!(der.take(tag::OID), None);
        assert_eq!(der.take(tag::BOOLEAN), Some(&[0xff][..]));
    }
}
