//! CMS EnvelopedData (RFC 5652 section 6) as KMS answers in `CiphertextForRecipient`.
//!
//! Nothing in it is authenticated: whoever has the attestation document can make one, and whoever
//! carries it can flip bits of it. What is decrypted must prove itself right by other means: here,
//! an AEAD under the key that it holds.
use aws_lc_rs::{
    cipher::{
        AES_256, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
    },
    iv::FixedLength,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey},
};
use zeroize::{Zeroize, Zeroizing};

use super::ber::{self, BerError, Reader};

/// KMS's envelope of a data key takes 461 bytes.
pub const MAX_ENVELOPE_BYTES: usize = 4096;

const CONTENT_KEY_BYTES: usize = 32;

// Object identifiers, without tag and length.
const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const RSAES_OAEP: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const SHA_256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";

/// Why an envelope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`MAX_ENVELOPE_BYTES`].
    #[error("CMS envelope is too long")]
    TooLong,
    /// Not BER.
    #[error("CMS envelope is malformed: {0}")]
    Malformed(#[from] BerError),
    /// BER, but not EnvelopedData version 2 with one recipient named by key identifier.
    #[error("CMS envelope is not EnvelopedData for one recipient by key identifier")]
    Structure,
    /// Another algorithm than RSAES-OAEP (SHA-256, MGF1-SHA-256) with AES-256-CBC.
    #[error("CMS envelope names another algorithm than was asked for")]
    Algorithm,
    /// It does not open under this key. Which step failed is not said: a difference between key
    /// and padding errors would be an oracle.
    #[error("CMS envelope does not open")]
    Undecryptable,
}

/// The parts of an envelope, parsed.
#[derive(Debug)]
pub struct Envelope<'a> {
    encrypted_key: &'a [u8],
    iv: [u8; AES_CBC_IV_LEN],
    content: Vec<u8>,
}

impl<'a> Envelope<'a> {
    /// Parses the BER form, and checks structure and algorithms.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLong);
        }
        // ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT }
        let mut outermost = Reader::new(bytes);
        let mut content_info = outermost.constructed(ber::SEQUENCE)?;
        outermost.finish()?;
        if content_info.primitive(ber::OBJECT_IDENTIFIER)? != ENVELOPED_DATA {
            return Err(EnvelopeError::Structure);
        }
        let mut explicit = content_info.constructed(ber::context(0))?;
        content_info.finish()?;
        let mut enveloped = explicit.constructed(ber::SEQUENCE)?;
        explicit.finish()?;

        // EnvelopedData ::= SEQUENCE { version, recipientInfos SET, encryptedContentInfo }.
        // originatorInfo and unprotectedAttrs, both optional, are not taken.
        version_2(&mut enveloped)?;
        let mut recipients = enveloped.constructed(ber::SET)?;
        let mut recipient = recipients.constructed(ber::SEQUENCE)?;
        recipients.finish()?;
        let mut encrypted = enveloped.constructed(ber::SEQUENCE)?;
        enveloped.finish()?;

        let encrypted_key = key_trans_recipient(&mut recipient)?;
        recipient.finish()?;
        let (iv, content) = encrypted_content(&mut encrypted)?;
        encrypted.finish()?;
        Ok(Self {
            encrypted_key,
            iv,
            content,
        })
    }

    /// Decrypts the content.
    pub fn open(
        mut self,
        key: &OaepPrivateDecryptingKey,
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let undecryptable = |_| EnvelopeError::Undecryptable;
        let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
        let content_key = key
            .decrypt(
                &OAEP_SHA256_MGF1SHA256,
                self.encrypted_key,
                &mut buffer,
                None,
            )
            .map_err(undecryptable)?;
        if content_key.len() != CONTENT_KEY_BYTES {
            return Err(EnvelopeError::Undecryptable);
        }
        let cipher = UnboundCipherKey::new(&AES_256, content_key)
            .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
            .map_err(undecryptable)?;
        let mut content = Zeroizing::new(std::mem::take(&mut self.content));
        let context = DecryptionContext::Iv128(FixedLength::from(self.iv));
        let length = cipher
            .decrypt(&mut content, context)
            .map_err(undecryptable)?
            .len();
        // The padding goes with the rest of the buffer.
        if let Some(padding) = content.get_mut(length..) {
            padding.zeroize();
        }
        content.truncate(length);
        Ok(content)
    }
}

fn version_2(reader: &mut Reader<'_>) -> Result<(), EnvelopeError> {
    // RFC 5652 sections 6.1 and 6.2.1: 2 where a subjectKeyIdentifier names the recipient.
    if reader.primitive(ber::INTEGER)? == [2] {
        Ok(())
    } else {
        Err(EnvelopeError::Structure)
    }
}

/// KeyTransRecipientInfo ::= SEQUENCE { version, rid, keyEncryptionAlgorithm, encryptedKey }
fn key_trans_recipient<'a>(recipient: &mut Reader<'a>) -> Result<&'a [u8], EnvelopeError> {
    version_2(recipient)?;
    // rid: subjectKeyIdentifier [0] IMPLICIT OCTET STRING. How KMS derives it is not documented;
    // the RSA key that opens the envelope is check enough.
    recipient.primitive(ber::context_primitive(0))?;
    let mut algorithm = recipient.constructed(ber::SEQUENCE)?;
    require_oid(&mut algorithm, RSAES_OAEP)?;
    // RFC 8017 appendix A.2.1: every default is SHA-1, so both parameters must be there. A label
    // ([2] pSourceAlgorithm) is not taken: `finish` refuses it.
    let mut parameters = algorithm.constructed(ber::SEQUENCE)?;
    algorithm.finish()?;
    let mut hash = tagged(&mut parameters, 0)?;
    sha_256(&mut hash)?;
    hash.finish()?;
    let mut mask = tagged(&mut parameters, 1)?;
    let mut generator = mask.constructed(ber::SEQUENCE)?;
    mask.finish()?;
    require_oid(&mut generator, MGF1)?;
    sha_256(&mut generator)?;
    generator.finish()?;
    parameters.finish().map_err(|_| EnvelopeError::Algorithm)?;
    Ok(recipient.primitive(ber::OCTET_STRING)?)
}

/// EncryptedContentInfo ::= SEQUENCE { contentType, contentEncryptionAlgorithm, \[0\] content }
fn encrypted_content(
    encrypted: &mut Reader<'_>,
) -> Result<([u8; AES_CBC_IV_LEN], Vec<u8>), EnvelopeError> {
    if encrypted.primitive(ber::OBJECT_IDENTIFIER)? != DATA {
        return Err(EnvelopeError::Structure);
    }
    let mut algorithm = encrypted.constructed(ber::SEQUENCE)?;
    require_oid(&mut algorithm, AES_256_CBC)?;
    let iv = algorithm
        .primitive(ber::OCTET_STRING)?
        .try_into()
        .map_err(|_| EnvelopeError::Algorithm)?;
    algorithm.finish()?;

    // [0] IMPLICIT OCTET STRING: primitive, or constructed of chunks (X.690 section 8.7.3).
    let content = encrypted.element()?;
    if content.tag == ber::context_primitive(0) {
        return Ok((iv, content.primitive()?.to_vec()));
    }
    if content.tag != ber::context(0) {
        return Err(EnvelopeError::Structure);
    }
    let mut chunks = content.constructed()?;
    let mut whole = Vec::new();
    while !chunks.is_empty() {
        whole.extend_from_slice(chunks.primitive(ber::OCTET_STRING)?);
    }
    Ok((iv, whole))
}

/// A parameter of RSAES-OAEP; an absent one means SHA-1.
fn tagged<'a>(parameters: &mut Reader<'a>, number: u8) -> Result<Reader<'a>, EnvelopeError> {
    if parameters.is_empty() {
        return Err(EnvelopeError::Algorithm);
    }
    parameters
        .constructed(ber::context(number))
        .map_err(|_| EnvelopeError::Algorithm)
}

/// AlgorithmIdentifier of SHA-256, with NULL parameters or none.
fn sha_256(reader: &mut Reader<'_>) -> Result<(), EnvelopeError> {
    let mut algorithm = reader.constructed(ber::SEQUENCE)?;
    require_oid(&mut algorithm, SHA_256)?;
    if !algorithm.is_empty() {
        algorithm.primitive(ber::NULL)?;
    }
    Ok(algorithm.finish()?)
}

fn require_oid(reader: &mut Reader<'_>, oid: &[u8]) -> Result<(), EnvelopeError> {
    if reader.primitive(ber::OBJECT_IDENTIFIER)? == oid {
        Ok(())
    } else {
        Err(EnvelopeError::Algorithm)
    }
}

#[cfg(test)]
mod tests;
