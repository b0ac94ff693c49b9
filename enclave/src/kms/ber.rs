//! A bounded reader of BER (X.690 section 8), as far as CMS from KMS needs it.
//!
//! KMS writes indefinite lengths, which DER readers refuse. This reader borrows from its input and
//! allocates nothing, whatever a length field says; nesting is bounded.

/// Elements may be nested this deep; CMS EnvelopedData from KMS nests seven.
const MAX_DEPTH: u8 = 12;

/// `OBJECT IDENTIFIER`.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// `OCTET STRING`, primitive.
pub const OCTET_STRING: u8 = 0x04;
/// `NULL`.
pub const NULL: u8 = 0x05;
/// `SEQUENCE`.
pub const SEQUENCE: u8 = 0x30;
/// `SET`.
pub const SET: u8 = 0x31;

const CONSTRUCTED: u8 = 0x20;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// A context-specific tag, constructed.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// A context-specific tag, primitive.
pub const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// The bytes are no BER that this reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// An element reaches beyond its container.
    #[error("BER element is cut short")]
    CutShort,
    /// A tag number above 30, which CMS does not use, or end-of-contents where none belongs.
    #[error("BER tag is not one that is used here")]
    Tag,
    /// A length of more than four bytes, or an indefinite one on a primitive element.
    #[error("BER length is malformed")]
    Length,
    /// Deeper than this reader follows.
    #[error("BER is nested too deeply")]
    TooDeep,
    /// Another element than the structure has here.
    #[error("BER element is another than expected")]
    Unexpected,
    /// Bytes after the structure's end.
    #[error("BER has trailing bytes")]
    Trailing,
}

/// One element: its tag, and its content without length and end-of-contents.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    content: &'a [u8],
    depth: u8,
}

impl<'a> Element<'a> {
    /// The content, when it is primitive.
    pub fn primitive(&self) -> Result<&'a [u8], BerError> {
        if self.tag & CONSTRUCTED == 0 {
            Ok(self.content)
        } else {
            Err(BerError::Unexpected)
        }
    }

    /// A reader of the elements inside, when it is constructed.
    pub fn constructed(&self) -> Result<Reader<'a>, BerError> {
        if self.tag & CONSTRUCTED == 0 {
            return Err(BerError::Unexpected);
        }
        Reader::at(self.content, self.depth.saturating_add(1))
    }
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Reader<'a> {
    /// A reader of outermost elements.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    fn at(rest: &'a [u8], depth: u8) -> Result<Self, BerError> {
        if depth > MAX_DEPTH {
            return Err(BerError::TooDeep);
        }
        Ok(Self { rest, depth })
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes that are left.
    pub fn finish(self) -> Result<(), BerError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(BerError::Trailing)
        }
    }

    /// The next element.
    pub fn element(&mut self) -> Result<Element<'a>, BerError> {
        let tag = self.byte()?;
        // X.690 section 8.1.2.4: 31 announces a tag of several octets. Section 8.1.5: 0 ends
        // contents of indefinite length, and stands nowhere else.
        if tag & 0x1f == 0x1f || tag == 0 {
            return Err(BerError::Tag);
        }
        let content = match self.length()? {
            Length::Definite(length) => self.take(length)?,
            Length::Indefinite if tag & CONSTRUCTED == 0 => return Err(BerError::Length),
            Length::Indefinite => self.until_end_of_contents()?,
        };
        Ok(Element {
            tag,
            content,
            depth: self.depth,
        })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, BerError> {
        let element = self.element()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(BerError::Unexpected)
        }
    }

    /// The content of the next element, which must be primitive and have this tag.
    pub fn primitive(&mut self, tag: u8) -> Result<&'a [u8], BerError> {
        self.expect(tag)?.primitive()
    }

    /// A reader of what is inside the next element, which must be constructed and have this tag.
    pub fn constructed(&mut self, tag: u8) -> Result<Reader<'a>, BerError> {
        self.expect(tag)?.constructed()
    }

    /// Contents of indefinite length: the elements up to end-of-contents (X.690 section 8.1.3.6).
    fn until_end_of_contents(&mut self) -> Result<&'a [u8], BerError> {
        let start = self.rest;
        let mut inner = Reader::at(start, self.depth.saturating_add(1))?;
        while !inner.rest.starts_with(&END_OF_CONTENTS) {
            inner.element()?;
        }
        let length = start.len().saturating_sub(inner.rest.len());
        let content = self.take(length)?;
        self.take(END_OF_CONTENTS.len())?;
        Ok(content)
    }

    fn length(&mut self) -> Result<Length, BerError> {
        match self.byte()? {
            0x80 => Ok(Length::Indefinite),
            short @ 0..0x80 => Ok(Length::Definite(usize::from(short))),
            long @ 0x81..=0x84 => {
                let octets = self.take(usize::from(long & 0x7f))?;
                let length = octets
                    .iter()
                    .fold(0_u32, |length, octet| length << 8 | u32::from(*octet));
                usize::try_from(length)
                    .map(Length::Definite)
                    .map_err(|_| BerError::Length)
            }
            _ => Err(BerError::Length),
        }
    }

    fn byte(&mut self) -> Result<u8, BerError> {
        let (first, rest) = self.rest.split_first().ok_or(BerError::CutShort)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BerError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(BerError::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }
}

enum Length {
    Definite(usize),
    Indefinite,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_definite_and_indefinite_lengths() {
        // SEQUENCE (indefinite) { INTEGER 2, [0] (indefinite) { OCTET STRING aa } }, long form.
        let bytes = [
            0x30, 0x80, 0x02, 0x01, 0x02, 0xa0, 0x80, 0x04, 0x81, 0x01, 0xaa, 0, 0, 0, 0,
        ];
        let mut outer = Reader::new(&bytes);
        let mut sequence = outer.constructed(SEQUENCE).unwrap();
        assert_eq!(sequence.primitive(INTEGER).unwrap(), [2]);
        let mut tagged = sequence.constructed(context(0)).unwrap();
        assert_eq!(tagged.primitive(OCTET_STRING).unwrap(), [0xaa]);
        tagged.finish().unwrap();
        sequence.finish().unwrap();
        outer.finish().unwrap();
    }

    #[test]
    fn refuses_what_is_cut_short_malformed_or_too_deep() {
        for (bytes, refusal) in [
            (&[][..], BerError::CutShort),
            (&[0x30], BerError::CutShort),
            (&[0x30, 0x80], BerError::CutShort),
            (&[0x30, 0x80, 0x00], BerError::Tag),
            (&[0x04, 0x02, 0x00], BerError::CutShort),
            (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], BerError::CutShort),
            (&[0x04, 0x80, 0x00, 0x00], BerError::Length),
            (&[0x04, 0x85, 0, 0, 0, 0, 0], BerError::Length),
            (&[0x04, 0xff], BerError::Length),
            (&[0x1f, 0x81, 0x00], BerError::Tag),
            (&[0x00, 0x00], BerError::Tag),
        ] {
            assert_eq!(Reader::new(bytes).element().unwrap_err(), refusal);
        }
        let deep = [0x30, 0x80].repeat(5000);
        assert_eq!(Reader::new(&deep).element().unwrap_err(), BerError::TooDeep);
    }
}
