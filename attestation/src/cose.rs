//! COSE_Sign1 (RFC 9052 section 4.2), as an NSM emits it.
use webpki::EndEntityCert;

use crate::{Error, SignatureAlgorithms, cbor::Reader, header};

/// Tag 18, COSE_Sign1 (RFC 9052 section 2), in one byte. It may stand in front.
const TAG_COSE_SIGN1: u8 = 0xd2;
/// r and s of ECDSA over P-384 (RFC 9053 section 2.1).
const SIGNATURE_BYTES: usize = 2 * INTEGER_BYTES;
const INTEGER_BYTES: usize = 48;

/// A signed message whose signature has not been verified.
#[derive(Debug)]
pub(crate) struct CoseSign1<'a> {
    protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    r: &'a [u8],
    s: &'a [u8],
}

impl<'a> CoseSign1<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        reader.skip_byte(TAG_COSE_SIGN1);
        if reader.definite_array().map_err(Error::Envelope)? != 4 {
            return Err(Error::NotCoseSign1);
        }
        let protected = reader.bytes().map_err(Error::Envelope)?;
        header::require_es384_alone(protected)?;
        let mut unprotected = reader.map().map_err(Error::Envelope)?;
        if unprotected.advance(&mut reader).map_err(Error::Envelope)? {
            return Err(Error::UnprotectedHeader);
        }
        let payload = reader.bytes().map_err(Error::Envelope)?;
        let signature = reader.bytes().map_err(Error::Envelope)?;
        reader.finish().map_err(Error::Envelope)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(Error::SignatureLength(signature.len()));
        }
        let (r, s) = signature.split_at(INTEGER_BYTES);
        Ok(Self {
            protected,
            payload,
            r,
            s,
        })
    }

    /// Verifies the signature by the key of `signer` (RFC 9052 section 4.4).
    pub(crate) fn verify(
        &self,
        signer: &EndEntityCert<'_>,
        algorithms: SignatureAlgorithms,
    ) -> Result<(), Error> {
        signer
            .verify_signature(
                algorithms.p384_sha384(),
                &self.to_be_signed(),
                &self.signature_der(),
            )
            .map_err(|error| match error {
                webpki::Error::InvalidSignatureForPublicKey => Error::DocumentSignature,
                _ => Error::SignerKey,
            })
    }

    /// The Sig_structure (RFC 9052 section 4.4): what is signed.
    fn to_be_signed(&self) -> Vec<u8> {
        const CONTEXT: &[u8] = b"\x84\x6aSignature1";
        const NO_EXTERNAL_DATA: &[u8] = &[0x40];
        let mut message =
            Vec::with_capacity(CONTEXT.len() + self.protected.len() + self.payload.len() + 19);
        message.extend_from_slice(CONTEXT);
        push_bytes(&mut message, self.protected);
        message.extend_from_slice(NO_EXTERNAL_DATA);
        push_bytes(&mut message, self.payload);
        message
    }

    /// The signature as X.509 has it: a DER SEQUENCE of two INTEGERs (RFC 3279 section 2.2.3).
    fn signature_der(&self) -> Vec<u8> {
        let mut integers = Vec::with_capacity(2 * (INTEGER_BYTES + 3));
        push_integer(&mut integers, self.r);
        push_integer(&mut integers, self.s);
        let mut der = Vec::with_capacity(integers.len() + 2);
        der.push(0x30);
        der.push(short_length(integers.len()));
        der.extend_from_slice(&integers);
        der
    }
}

/// A byte string with the shortest head (RFC 8949 section 4.2.1), as the signer has it.
fn push_bytes(message: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len() as u64;
    let be = length.to_be_bytes();
    match length {
        0..=23 => message.push(0x40 | be[7]),
        24..=0xff => message.extend_from_slice(&[0x58, be[7]]),
        0x100..=0xffff => message.extend_from_slice(&[0x59, be[6], be[7]]),
        0x1_0000..=0xffff_ffff => {
            message.push(0x5a);
            message.extend_from_slice(&be[4..]);
        }
        _ => {
            message.push(0x5b);
            message.extend_from_slice(&be);
        }
    }
    message.extend_from_slice(bytes);
}

/// A positive DER INTEGER: no leading zeros but the one that keeps the sign.
fn push_integer(der: &mut Vec<u8>, big_endian: &[u8]) {
    let zeros = big_endian.iter().take_while(|&&byte| byte == 0).count();
    let magnitude = big_endian.get(zeros..).unwrap_or_default();
    let needs_zero = magnitude.first().is_none_or(|&byte| byte & 0x80 != 0);
    der.push(0x02);
    der.push(short_length(magnitude.len() + usize::from(needs_zero)));
    if needs_zero {
        der.push(0);
    }
    der.extend_from_slice(magnitude);
}

/// The short form of a DER length: what is measured here is at most 2 × (48 + 3) bytes.
fn short_length(length: usize) -> u8 {
    debug_assert!(length < 0x80);
    u8::try_from(length).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};

    use super::*;
    use crate::CborError;

    fn signed(header: coset::Header, payload: &[u8]) -> coset::CoseSign1 {
        CoseSign1Builder::new()
            .protected(header)
            .payload(payload.to_vec())
            .signature(vec![1; SIGNATURE_BYTES])
            .build()
    }

    fn es384() -> HeaderBuilder {
        HeaderBuilder::new().algorithm(iana::Algorithm::ES384)
    }

    #[test]
    fn the_structure_signed_is_the_one_that_coset_makes() {
        for length in [0, 1, 23, 24, 255, 256, 5000, 70_000] {
            let message = signed(es384().build(), &vec![0xa5; length]);
            let expected = message.tbs_data(&[]);
            let bytes = message.to_vec().expect("encode");
            let parsed = CoseSign1::parse(&bytes).expect("parse");
            assert_eq!(parsed.to_be_signed(), expected, "{length} bytes");
        }
    }

    #[test]
    fn tag_18_is_optional_and_no_other_is_allowed() {
        let bytes = signed(es384().build(), b"p")
            .to_tagged_vec()
            .expect("encode");
        assert!(CoseSign1::parse(&bytes).is_ok());
        let mut other = bytes;
        other[0] = 0xd1;
        assert_eq!(
            CoseSign1::parse(&other).err(),
            Some(Error::Envelope(CborError::UnexpectedType))
        );
    }

    #[test]
    fn any_header_but_es384_alone_is_refused() {
        let es256 = HeaderBuilder::new().algorithm(iana::Algorithm::ES256);
        let headers = [
            (HeaderBuilder::new().build(), Error::NoAlgorithm),
            (es256.build(), Error::OtherAlgorithm),
            (es384().key_id(b"k".to_vec()).build(), Error::OtherHeader),
            (
                es384().add_critical(iana::HeaderParameter::Alg).build(),
                Error::CriticalHeader,
            ),
        ];
        for (header, expected) in headers {
            let bytes = signed(header, b"p").to_vec().expect("encode");
            assert_eq!(CoseSign1::parse(&bytes).err(), Some(expected));
        }
        let mut unprotected = signed(es384().build(), b"p");
        unprotected.unprotected.key_id = b"k".to_vec();
        let bytes = unprotected.to_vec().expect("encode");
        assert_eq!(
            CoseSign1::parse(&bytes).err(),
            Some(Error::UnprotectedHeader)
        );
    }

    #[test]
    fn the_header_is_signed_as_it_was_encoded() {
        let header = [0xbf, 0x01, 0x38, 0x22, 0xff];
        let mut bytes = [
            &[0x84, 0x45],
            &header[..],
            &[0xbf, 0xff, 0x41, b'p', 0x58, 0x60],
        ]
        .concat();
        bytes.resize(bytes.len() + SIGNATURE_BYTES, 1);
        let message = CoseSign1::parse(&bytes).expect("parse").to_be_signed();
        let expected = [b"\x84\x6aSignature1\x45", &header[..], b"\x40\x41p"].concat();
        assert_eq!(message, expected);
    }

    #[test]
    fn trailing_bytes_detached_payload_and_short_signatures_are_refused() {
        let message = signed(es384().build(), b"p");
        let mut trailing = message.clone().to_vec().expect("encode");
        trailing.push(0);
        assert_eq!(
            CoseSign1::parse(&trailing).err(),
            Some(Error::Envelope(CborError::TrailingBytes))
        );
        let mut detached = message.clone();
        detached.payload = None;
        assert_eq!(
            CoseSign1::parse(&detached.to_vec().expect("encode")).err(),
            Some(Error::Envelope(CborError::UnexpectedType))
        );
        let mut short = message;
        short.signature.pop();
        assert_eq!(
            CoseSign1::parse(&short.to_vec().expect("encode")).err(),
            Some(Error::SignatureLength(95))
        );
    }

    #[test]
    fn integers_keep_their_sign_and_lose_leading_zeros() {
        let cases: [(&[u8], &[u8]); 4] = [
            (&[0, 0], &[2, 1, 0]),
            (&[0, 0x7f], &[2, 1, 0x7f]),
            (&[0, 0x80], &[2, 2, 0, 0x80]),
            (&[1, 0], &[2, 2, 1, 0]),
        ];
        for (integer, expected) in cases {
            let mut der = Vec::new();
            push_integer(&mut der, integer);
            assert_eq!(der, expected);
        }
    }
}
