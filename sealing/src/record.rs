//! The record: from the enclave to itself, by way of a vault that cannot open it.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use coset::{Algorithm, Header, iana};
use dauth_protocol::{RecordHeader, limit::MAX_RECORD_BYTES};
use zeroize::Zeroizing;

use crate::{OpenError, ParseError, SealError, Secret, cose};

/// A key that records are sealed under.
///
/// A random nonce of 96 bits lets one key seal 2^32 records (NIST SP 800-38D section 8.3).
///
/// ```compile_fail,E0599
/// fn copy(key: &dauth_sealing::RecordKey) -> dauth_sealing::RecordKey {
///     key.clone()
/// }
/// ```
pub struct RecordKey {
    id: [u8; 8],
    key: LessSafeKey,
}

impl RecordKey {
    /// The key of these bytes, which are wiped.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "taken over, so that they are wiped"
    )]
    pub fn new(id: [u8; 8], key: Zeroizing<[u8; 32]>) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice());
        Ok(Self {
            id,
            key: LessSafeKey::new(key.map_err(|_| SealError::InvalidKey)?),
        })
    }

    /// What names the key in a record.
    pub fn id(&self) -> &[u8; 8] {
        &self.id
    }

    /// Seals `secret` under `header`; the record's bytes. A nonce must never be used twice.
    pub fn seal(
        &self,
        header: &RecordHeader,
        secret: &Secret,
        nonce: [u8; 12],
    ) -> Result<Vec<u8>, SealError> {
        let algorithm = Algorithm::Assigned(iana::Algorithm::A256GCM);
        let (protected, aad) = cose::protect(algorithm, self.id, header.to_cbor());
        let mut buffer = secret.to_buffer();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce_used, Aad::from(&aad), &mut *buffer)
            .map_err(|_| SealError::Encryption)?;
        let unprotected = Header {
            iv: nonce.to_vec(),
            ..Header::default()
        };
        let ciphertext = core::mem::take(&mut *buffer);
        let record = cose::encode(protected, unprotected, ciphertext);
        let record = record.ok_or(SealError::Encryption)?;
        if record.len() > MAX_RECORD_BYTES {
            return Err(SealError::TooLong(MAX_RECORD_BYTES));
        }
        Ok(record)
    }
}

/// A record that has the form of one. Its header is to be had only by opening it.
pub struct SealedRecord {
    key_id: [u8; 8],
    header: Vec<u8>,
    nonce: [u8; 12],
    aad: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// What a record holds, once authenticated.
pub struct OpenedRecord {
    /// What binds the secret.
    pub header: RecordHeader,
    /// The credential.
    pub secret: Secret,
}

impl SealedRecord {
    /// Parses the bytes: an untagged COSE_Encrypt0.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let object = cose::decode(bytes, MAX_RECORD_BYTES)?;
        if object.algorithm != Algorithm::Assigned(iana::Algorithm::A256GCM) {
            return Err(ParseError::Algorithm);
        }
        let mut unprotected = object.unprotected;
        let iv = core::mem::take(&mut unprotected.iv);
        if !unprotected.is_empty() {
            return Err(ParseError::Malformed);
        }
        Ok(Self {
            key_id: object.key_id,
            header: object.header,
            nonce: iv.try_into().map_err(|_| ParseError::Malformed)?,
            aad: object.aad,
            ciphertext: object.ciphertext,
        })
    }

    /// The record key that it was sealed under.
    pub fn key_id(&self) -> &[u8; 8] {
        &self.key_id
    }

    /// Decrypts in the record's own buffer; there is no second copy of the secret.
    pub fn open(self, key: &RecordKey) -> Result<OpenedRecord, OpenError> {
        if key.id != self.key_id {
            return Err(OpenError);
        }
        let mut buffer = Zeroizing::new(self.ciphertext);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length = key
            .key
            .open_in_place(nonce, Aad::from(&self.aad), &mut buffer)
            .map_err(|_| OpenError)?
            .len();
        buffer.truncate(length);
        Ok(OpenedRecord {
            secret: Secret::from_wiped(buffer).map_err(|_| OpenError)?,
            header: RecordHeader::from_cbor(&self.header).map_err(|_| OpenError)?,
        })
    }
}

#[cfg(test)]
mod tests;
