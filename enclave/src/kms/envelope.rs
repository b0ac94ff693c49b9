//! CMS EnvelopedData (RFC 5652 section 6) as KMS answers in `CiphertextForRecipient`.
//!
//! Nothing in it is authenticated: whoever has the attestation document can make one, and whoever
//! carries it can flip bits of it. What is decrypted must prove itself right by other means: here,
//! an AEAD under the key that it holds.
use aws_lc_rs::{
    cipher::{AES_256, AES_CBC_IV_LEN, DecryptingKey, DecryptionContext, UnboundCipherKey},
    iv::FixedLength,
    rand,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey},
};
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};
use zeroize::{Zeroize, Zeroizing};

use super::ber::{self, BerError, Element, Reader};

/// KMS's envelope of a data key takes 461 bytes.
pub const MAX_ENVELOPE_BYTES: usize = 4096;

const CONTENT_KEY_BYTES: usize = 32;
/// The key of a content: on the heap, as it is moved.
type ContentKey = Box<Zeroizing<[u8; CONTENT_KEY_BYTES]>>;
const BLOCK_BYTES: usize = 16;
/// RSA-2048.
const ENCRYPTED_KEY_BYTES: usize = 256;
/// Below every modulus of 2048 bits, and no key's ciphertext but by accident.
const DECOY_KEY: [u8; ENCRYPTED_KEY_BYTES] = [0x2a; ENCRYPTED_KEY_BYTES];
/// Content of a data key: two blocks, and one of padding.
const DECOY_CONTENT: [u8; 3 * BLOCK_BYTES] = [0x2a; 3 * BLOCK_BYTES];

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
    /// BER, but not EnvelopedData version 2 with one RSA-2048 recipient named by key identifier and
    /// whole blocks of content.
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

    /// An envelope that opens under no key. Opening it takes the time that opening another takes.
    pub(super) fn decoy() -> Envelope<'static> {
        Envelope {
            encrypted_key: &DECOY_KEY,
            iv: [0; AES_CBC_IV_LEN],
            content: DECOY_CONTENT.to_vec(),
        }
    }

    /// Decrypts the content.
    ///
    /// Every step is taken whatever came of those before (RFC 3218 section 2.3.2): where the
    /// recipient's key opens no content key, a random one takes its place, and the padding is
    /// looked at in constant time. What differs is what aws-lc itself does.
    pub fn open(
        mut self,
        key: &OaepPrivateDecryptingKey,
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let undecryptable = |_| EnvelopeError::Undecryptable;
        let (content_key, holds_key) = self.content_key(key)?;
        let cipher = UnboundCipherKey::new(&AES_256, content_key.as_slice())
            .and_then(DecryptingKey::cbc)
            .map_err(undecryptable)?;
        let mut content = Zeroizing::new(std::mem::take(&mut self.content));
        let context = DecryptionContext::Iv128(FixedLength::from(self.iv));
        cipher
            .decrypt(&mut content, context)
            .map_err(undecryptable)?;
        let (padding, is_padded) = pkcs7_padding(&content);
        if !bool::from(holds_key & is_padded) {
            return Err(EnvelopeError::Undecryptable);
        }
        let length = content.len().saturating_sub(usize::from(padding));
        // The padding goes with the rest of the buffer.
        if let Some(padding) = content.get_mut(length..) {
            padding.zeroize();
        }
        content.truncate(length);
        Ok(content)
    }

    /// The key of the content, or a random one and that it is not the envelope's.
    fn content_key(
        &self,
        key: &OaepPrivateDecryptingKey,
    ) -> Result<(ContentKey, Choice), EnvelopeError> {
        let mut content_key = Box::new(Zeroizing::new([0; CONTENT_KEY_BYTES]));
        rand::fill(content_key.as_mut_slice()).map_err(|_| EnvelopeError::Undecryptable)?;
        let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
        let opened = key.decrypt(
            &OAEP_SHA256_MGF1SHA256,
            self.encrypted_key,
            &mut buffer,
            None,
        );
        match opened {
            Ok(opened) if opened.len() == CONTENT_KEY_BYTES => {
                content_key.copy_from_slice(opened);
                Ok((content_key, Choice::from(1)))
            }
            _ => Ok((content_key, Choice::from(0))),
        }
    }
}

/// How long the padding of whole blocks is, and whether it is one (RFC 5652 section 6.3), in
/// constant time.
fn pkcs7_padding(content: &[u8]) -> (u8, Choice) {
    let Some((_, block)) = content.split_last_chunk::<BLOCK_BYTES>() else {
        return (0, Choice::from(0));
    };
    let [.., padding] = *block;
    let is_length = !padding.ct_eq(&0) & !padding.ct_gt(&16);
    let is_padded = (1_u8..)
        .zip(block.iter().rev())
        .map(|(position, byte)| position.ct_gt(&padding) | byte.ct_eq(&padding))
        .fold(is_length, |all, one| all & one);
    (padding, is_padded)
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
    let encrypted_key = recipient.primitive(ber::OCTET_STRING)?;
    if encrypted_key.len() == ENCRYPTED_KEY_BYTES {
        Ok(encrypted_key)
    } else {
        Err(EnvelopeError::Structure)
    }
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

    let content = whole_string(&encrypted.element()?)?;
    if content.is_empty() || content.len() % BLOCK_BYTES != 0 {
        return Err(EnvelopeError::Structure);
    }
    Ok((iv, content))
}

/// \[0\] IMPLICIT OCTET STRING: primitive, or constructed of chunks (X.690 section 8.7.3).
fn whole_string(content: &Element<'_>) -> Result<Vec<u8>, EnvelopeError> {
    if content.tag == ber::context_primitive(0) {
        return Ok(content.primitive()?.to_vec());
    }
    if content.tag != ber::context(0) {
        return Err(EnvelopeError::Structure);
    }
    let mut chunks = content.constructed()?;
    let mut whole = Vec::new();
    while !chunks.is_empty() {
        whole.extend_from_slice(chunks.primitive(ber::OCTET_STRING)?);
    }
    Ok(whole)
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
