//! COSE_Encrypt0 (RFC 9052 section 5.2) as envelopes and records use it.
use coset::{
    Algorithm, CborSerializable, CoseEncrypt0, EncryptionContext, Header, Label, ProtectedHeader,
    cbor::Value, enc_structure_data,
};

use crate::ParseError;

/// The tag of AES-GCM.
pub(crate) const TAG_BYTES: usize = 16;
/// The header parameter that holds the CBOR bytes of an envelope's or a record's header.
const DAUTH: &str = "dauth";
/// CBOR tag 16 (RFC 9052 section 2): COSE_Encrypt0.
const ENCRYPT0_TAG: u8 = 0xd0;

/// A COSE_Encrypt0 whose protected header has exactly `alg`, `kid` and `dauth`.
pub(crate) struct Encrypt0 {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: [u8; 8],
    pub(crate) header: Vec<u8>,
    pub(crate) unprotected: Header,
    /// Enc_structure over the protected header as received: the associated data.
    pub(crate) aad: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// The protected header, and the associated data that it makes.
pub(crate) fn protect(
    algorithm: Algorithm,
    key_id: [u8; 8],
    header: Vec<u8>,
) -> (ProtectedHeader, Vec<u8>) {
    let protected = ProtectedHeader {
        original_data: None,
        header: Header {
            alg: Some(algorithm),
            key_id: key_id.to_vec(),
            rest: vec![(Label::Text(DAUTH.to_owned()), Value::Bytes(header))],
            ..Header::default()
        },
    };
    let aad = associated_data(&protected);
    (protected, aad)
}

/// RFC 9052 section 5.3: `["Encrypt0", protected, h'']`.
fn associated_data(protected: &ProtectedHeader) -> Vec<u8> {
    enc_structure_data(EncryptionContext::CoseEncrypt0, protected.clone(), &[])
}

/// The untagged form.
pub(crate) fn encode(
    protected: ProtectedHeader,
    unprotected: Header,
    ciphertext: Vec<u8>,
) -> Option<Vec<u8>> {
    let object = CoseEncrypt0 {
        protected,
        unprotected,
        ciphertext: Some(ciphertext),
    };
    object.to_vec().ok()
}

/// Parses the untagged form.
pub(crate) fn decode(bytes: &[u8], max: usize) -> Result<Encrypt0, ParseError> {
    check_length(bytes, max)?;
    let object = CoseEncrypt0::from_slice(bytes).map_err(|_| ParseError::Malformed)?;
    from_object(object)
}

/// Parses the untagged form, or the one with tag 16, and accepts one encoding of each.
///
/// An envelope has no fingerprint, so nothing else would refuse a second encoding of it.
pub(crate) fn decode_strictly(bytes: &[u8], max: usize) -> Result<Encrypt0, ParseError> {
    check_length(bytes, max)?;
    let untagged = bytes.strip_prefix(&[ENCRYPT0_TAG]).unwrap_or(bytes);
    let object = CoseEncrypt0::from_slice(untagged).map_err(|_| ParseError::Malformed)?;
    let encoded = object.clone().to_vec().map_err(|_| ParseError::Malformed)?;
    if encoded != untagged {
        return Err(ParseError::Encoding);
    }
    from_object(object)
}

fn check_length(bytes: &[u8], max: usize) -> Result<(), ParseError> {
    if bytes.len() > max {
        Err(ParseError::TooLong(max))
    } else {
        Ok(())
    }
}

fn from_object(object: CoseEncrypt0) -> Result<Encrypt0, ParseError> {
    let aad = associated_data(&object.protected);
    let mut protected = object.protected.header;
    let algorithm = protected.alg.take().ok_or(ParseError::Algorithm)?;
    let key_id = core::mem::take(&mut protected.key_id);
    let header = match protected.rest.pop() {
        Some((Label::Text(label), Value::Bytes(header))) if label == DAUTH => header,
        _ => return Err(ParseError::Malformed),
    };
    // What is left would be a parameter that nobody reads.
    if !protected.is_empty() {
        return Err(ParseError::Malformed);
    }
    let ciphertext = object.ciphertext.ok_or(ParseError::Malformed)?;
    if ciphertext.len() <= TAG_BYTES {
        return Err(ParseError::Malformed);
    }
    Ok(Encrypt0 {
        algorithm,
        key_id: key_id.try_into().map_err(|_| ParseError::Malformed)?,
        header,
        unprotected: object.unprotected,
        aad,
        ciphertext,
    })
}
