//! A CBOR reader (RFC 8949) over borrowed bytes.
//!
//! It allocates nothing and does not recurse, whatever a length field claims. A general decoder
//! reserves memory by claimed lengths at each level of nesting; evidence comes from strangers.

/// The bytes are not the CBOR that is expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("it ends inside an item (RFC 8949 section 3)")]
    Truncated,
    /// Additional information 28 to 30, or an indefinite length where none may be.
    #[error("it has a reserved or indefinite length where none is allowed (RFC 8949 section 3)")]
    Length,
    /// Another major type than the structure has there.
    #[error("it has an item of another type than expected (RFC 8949 section 3.1)")]
    UnexpectedType,
    /// A text string that is not UTF-8.
    #[error("it has a text string that is not UTF-8 (RFC 8949 section 3.1)")]
    NotUtf8,
    /// Bytes after the structure.
    #[error("bytes follow it")]
    TrailingBytes,
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const BREAK: u8 = 0xff;
const NULL: u8 = 0xf6;

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// The items of an array or the pairs of a map that are still to come.
pub(crate) enum Items {
    Definite(u64),
    Indefinite,
}

impl Items {
    /// Whether another item follows; takes the break of an indefinite length.
    pub(crate) fn advance(&mut self, reader: &mut Reader<'_>) -> Result<bool, CborError> {
        match self {
            Items::Definite(0) => Ok(false),
            Items::Definite(left) => {
                *left -= 1;
                Ok(true)
            }
            Items::Indefinite if reader.skip_byte(BREAK) => {
                // Nothing follows a break, however often this is asked.
                *self = Items::Definite(0);
                Ok(false)
            }
            Items::Indefinite if reader.rest.is_empty() => Err(CborError::Truncated),
            Items::Indefinite => Ok(true),
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Refuses bytes after the structure.
    pub(crate) fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CborError::TrailingBytes)
        }
    }

    /// Takes the one-byte item `byte` if it comes next.
    pub(crate) fn skip_byte(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CborError> {
        self.definite(UNSIGNED)
    }

    /// An integer of either sign. What `i64` cannot hold becomes its nearest value.
    pub(crate) fn integer(&mut self) -> Result<i64, CborError> {
        let saturated = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match self.rest.first().map(|initial| initial >> 5) {
            Some(NEGATIVE) => self.definite(NEGATIVE).map(|value| -1 - saturated(value)),
            _ => self.unsigned().map(saturated),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let length = self.definite(BYTES)?;
        self.take(length)
    }

    /// A byte string, or `None` for null.
    pub(crate) fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, CborError> {
        if self.skip_byte(NULL) {
            Ok(None)
        } else {
            self.bytes().map(Some)
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let length = self.definite(TEXT)?;
        core::str::from_utf8(self.take(length)?).map_err(|_| CborError::NotUtf8)
    }

    /// The head of an array of definite length: how many items follow.
    pub(crate) fn definite_array(&mut self) -> Result<u64, CborError> {
        self.definite(ARRAY)
    }

    pub(crate) fn array(&mut self) -> Result<Items, CborError> {
        self.items(ARRAY)
    }

    pub(crate) fn map(&mut self) -> Result<Items, CborError> {
        self.items(MAP)
    }

    fn items(&mut self, major: u8) -> Result<Items, CborError> {
        Ok(match self.head(major)? {
            Some(count) => Items::Definite(count),
            None => Items::Indefinite,
        })
    }

    fn definite(&mut self, major: u8) -> Result<u64, CborError> {
        self.head(major)?.ok_or(CborError::Length)
    }

    /// The argument of an item of type `major`; `None` when its length is indefinite.
    fn head(&mut self, major: u8) -> Result<Option<u64>, CborError> {
        let (&initial, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        if initial >> 5 != major {
            return Err(CborError::UnexpectedType);
        }
        self.rest = rest;
        let width = match initial & 0x1f {
            direct @ 0..=23 => return Ok(Some(u64::from(direct))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 if !matches!(major, UNSIGNED | NEGATIVE) => return Ok(None),
            _ => return Err(CborError::Length),
        };
        let argument = self.take(width)?;
        let value = argument
            .iter()
            .fold(0, |value: u64, &byte| (value << 8) | u64::from(byte));
        Ok(Some(value))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_input_is_truncation_not_an_allocation() {
        for claim in [
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x5a, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x59, 1],
            &[0x58],
            &[],
        ] {
            assert_eq!(Reader::new(claim).bytes(), Err(CborError::Truncated));
        }
    }

    #[test]
    fn reserved_and_indefinite_lengths_are_refused() {
        for initial in [0x5c, 0x5d, 0x5e, 0x5f] {
            assert_eq!(Reader::new(&[initial]).bytes(), Err(CborError::Length));
        }
        assert_eq!(Reader::new(&[0x1f]).unsigned(), Err(CborError::Length));
    }

    #[test]
    fn integers_have_both_signs() {
        for (encoded, expected) in [
            (&[0x18, 0x22][..], Ok(34)),
            (&[0x38, 0x22], Ok(-35)),
            (&[0x20], Ok(-1)),
            (
                &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Ok(i64::MIN),
            ),
            (
                &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Ok(i64::MAX),
            ),
            (&[0x3f], Err(CborError::Length)),
            (&[0x40], Err(CborError::UnexpectedType)),
            (&[], Err(CborError::Truncated)),
        ] {
            assert_eq!(Reader::new(encoded).integer(), expected);
        }
    }

    #[test]
    fn both_forms_of_a_map_end() {
        for encoded in [&[0xa1, 0x01, 0x02][..], &[0xbf, 0x01, 0x02, 0xff]] {
            let mut reader = Reader::new(encoded);
            let mut pairs = reader.map().expect("map");
            assert_eq!(pairs.advance(&mut reader), Ok(true));
            assert_eq!(reader.unsigned(), Ok(1));
            assert_eq!(reader.unsigned(), Ok(2));
            assert_eq!(pairs.advance(&mut reader), Ok(false));
            assert_eq!(pairs.advance(&mut reader), Ok(false));
            assert_eq!(reader.finish(), Ok(()));
        }
        let mut endless = Reader::new(&[0xbf]);
        let mut pairs = endless.map().expect("map");
        assert_eq!(pairs.advance(&mut endless), Err(CborError::Truncated));
    }

    #[test]
    fn text_is_utf8_and_null_is_absence() {
        assert_eq!(Reader::new(&[0x61, 0xff]).text(), Err(CborError::NotUtf8));
        assert_eq!(Reader::new(&[0xf6]).bytes_or_null(), Ok(None));
        assert_eq!(Reader::new(&[0x40]).bytes_or_null(), Ok(Some(&[][..])));
        assert_eq!(
            Reader::new(&[0xf7]).bytes_or_null(),
            Err(CborError::UnexpectedType)
        );
    }
}
