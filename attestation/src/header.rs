//! The protected header of the envelope (RFC 9052 section 3.1): ES384, and nothing else.
use crate::{CborError, Error, cbor::Reader};

/// alg (RFC 9052 section 3.1).
const ALG: i64 = 1;
/// crit (RFC 9052 section 3.1).
const CRIT: i64 = 2;
/// ES384 (RFC 9053 section 2.1).
const ES384: i64 = -35;

/// Accepts `{1: -35}`, however it is encoded: the bytes as they are belong to what is signed.
///
/// Any other parameter is refused, whether it is marked critical or not: an NSM sends none.
pub(crate) fn require_es384_alone(header: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(header);
    let mut algorithm = None;
    // An empty string stands for an empty map (RFC 9052 section 3).
    if !header.is_empty() {
        let mut pairs = reader.map().map_err(Error::ProtectedHeader)?;
        while pairs.advance(&mut reader).map_err(Error::ProtectedHeader)? {
            match label(&mut reader)? {
                Some(ALG) if algorithm.is_some() => return Err(Error::DuplicateAlgorithm),
                Some(ALG) => algorithm = Some(label(&mut reader)?),
                Some(CRIT) => return Err(Error::CriticalHeader),
                _ => return Err(Error::OtherHeader),
            }
        }
        reader.finish().map_err(Error::ProtectedHeader)?;
    }
    match algorithm {
        None => Err(Error::NoAlgorithm),
        Some(Some(ES384)) => Ok(()),
        Some(_) => Err(Error::OtherAlgorithm),
    }
}

/// A label, or an algorithm's name, which has the same type: `None` when it is a text.
fn label(reader: &mut Reader<'_>) -> Result<Option<i64>, Error> {
    match reader.integer() {
        Ok(label) => Ok(Some(label)),
        Err(CborError::UnexpectedType) => {
            reader.text().map_err(Error::ProtectedHeader)?;
            Ok(None)
        }
        Err(error) => Err(Error::ProtectedHeader(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn es384_alone_is_accepted_in_every_encoding() {
        for header in [
            &[0xa1, 0x01, 0x38, 0x22][..],
            &[0xbf, 0x01, 0x38, 0x22, 0xff],
            &[0xb8, 0x01, 0x18, 0x01, 0x39, 0x00, 0x22],
        ] {
            assert_eq!(require_es384_alone(header), Ok(()), "{header:02x?}");
        }
    }

    #[test]
    fn each_other_header_is_refused_by_its_name() {
        let malformed = |error| Error::ProtectedHeader(error);
        for (header, expected) in [
            (&b""[..], Error::NoAlgorithm),
            (b"\xa0", Error::NoAlgorithm),
            // ES256, ES512, EdDSA, 34, "ES384".
            (b"\xa1\x01\x26", Error::OtherAlgorithm),
            (b"\xa1\x01\x38\x23", Error::OtherAlgorithm),
            (b"\xa1\x01\x27", Error::OtherAlgorithm),
            (b"\xa1\x01\x18\x22", Error::OtherAlgorithm),
            (b"\xa1\x01\x65ES384", Error::OtherAlgorithm),
            (b"\xa2\x01\x38\x22\x02\x81\x01", Error::CriticalHeader),
            (b"\xa2\x02\x81\x01\x01\x38\x22", Error::CriticalHeader),
            (b"\xa2\x01\x38\x22\x04\x41k", Error::OtherHeader),
            (b"\xa2\x01\x38\x22\x21\x00", Error::OtherHeader),
            (b"\xa2\x01\x38\x22\x61x\x00", Error::OtherHeader),
            (b"\xa2\x01\x38\x22\x01\x38\x22", Error::DuplicateAlgorithm),
            (b"\xa1\x01\x38\x22\x00", malformed(CborError::TrailingBytes)),
            (b"\xa2\x01\x38\x22", malformed(CborError::Truncated)),
            (b"\xbf\x01\x38\x22", malformed(CborError::Truncated)),
            (b"\xa1\x41x\x38\x22", malformed(CborError::UnexpectedType)),
            (b"\x81\x01", malformed(CborError::UnexpectedType)),
            // The integer has no value in 64 bits.
            (
                b"\xa1\x01\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
                Error::OtherAlgorithm,
            ),
        ] {
            assert_eq!(require_es384_alone(header), Err(expected), "{header:02x?}");
        }
    }
}
