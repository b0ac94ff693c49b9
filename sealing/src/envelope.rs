//! The envelope: from a client to the attested enclave.
use coset::{Header, Label, cbor::Value};
use dauth_protocol::{
    EnvelopeHeader,
    key_configuration::{Kem, RecipientPublicKey},
    limit::MAX_ENVELOPE_BYTES,
};
use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::{
    AttestedRecipientKey, OpenError, ParseError, RecipientKey, SealError, Secret, cose, suite,
};

/// `ek` of draft-ietf-cose-hpke-24: the encapsulated key, in the unprotected header.
const ENCAPSULATED_KEY: i64 = -4;

/// Seals secrets to one enclave. It takes an attested key only.
pub struct Sealer {
    recipient: AttestedRecipientKey,
}

impl Sealer {
    /// A sealer for the enclave that the key was attested for.
    pub fn new(recipient: AttestedRecipientKey) -> Self {
        Self { recipient }
    }

    /// Seals `secret` under `header`; the envelope's bytes.
    pub fn seal(
        &self,
        header: &EnvelopeHeader,
        secret: &Secret,
        rng: &mut impl TryCryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if header.audience != self.recipient.audience() {
            return Err(SealError::Audience);
        }
        seal_to(self.recipient.key(), header, secret, rng)
    }
}

fn seal_to(
    recipient: &RecipientPublicKey,
    header: &EnvelopeHeader,
    secret: &Secret,
    rng: &mut impl TryCryptoRng,
) -> Result<Vec<u8>, SealError> {
    let key_id = recipient.id.as_slice().try_into();
    let (protected, aad) = cose::protect(
        suite::algorithm(recipient.kem),
        key_id.map_err(|_| SealError::InvalidKey)?,
        header.to_cbor(),
    );
    let mut buffer = secret.to_buffer();
    let encapsulated = suite::seal(recipient.kem, &recipient.key, &aad, &mut buffer, rng)?;
    let unprotected = Header {
        rest: vec![(Label::Int(ENCAPSULATED_KEY), Value::Bytes(encapsulated))],
        ..Header::default()
    };
    let ciphertext = core::mem::take(&mut *buffer);
    let envelope = cose::encode(protected, unprotected, ciphertext).ok_or(SealError::Encryption)?;
    if envelope.len() > MAX_ENVELOPE_BYTES {
        return Err(SealError::TooLong(MAX_ENVELOPE_BYTES));
    }
    Ok(envelope)
}

/// An envelope that has the form of one. Nothing in it is authenticated before it is opened, and
/// then only as to its integrity: anyone can seal to a public key.
pub struct SealedEnvelope {
    kem: Kem,
    recipient_id: [u8; 8],
    header: EnvelopeHeader,
    encapsulated: Vec<u8>,
    aad: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl SealedEnvelope {
    /// Parses the bytes: an untagged COSE_Encrypt0, or one with tag 16.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let object = cose::decode_strictly(bytes, MAX_ENVELOPE_BYTES)?;
        Ok(Self {
            kem: suite::kem_of(&object.algorithm).ok_or(ParseError::Algorithm)?,
            recipient_id: object.key_id,
            header: EnvelopeHeader::from_cbor(&object.header).map_err(ParseError::Header)?,
            encapsulated: encapsulated_key(object.unprotected)?,
            aad: object.aad,
            ciphertext: object.ciphertext,
        })
    }

    /// What the envelope claims, and what opening it authenticates.
    pub fn header(&self) -> &EnvelopeHeader {
        &self.header
    }

    /// The recipient key that it was sealed to.
    pub fn recipient_id(&self) -> &[u8; 8] {
        &self.recipient_id
    }

    /// Decrypts in the envelope's own buffer; there is no second copy of the secret.
    pub fn open(self, key: &RecipientKey) -> Result<Secret, OpenError> {
        if key.kem() != self.kem || key.id() != &self.recipient_id {
            return Err(OpenError);
        }
        let mut buffer = Zeroizing::new(self.ciphertext);
        suite::open(
            self.kem,
            key.private_key(),
            &self.encapsulated,
            &self.aad,
            &mut buffer,
        )?;
        Secret::from_wiped(buffer).map_err(|_| OpenError)
    }
}

fn encapsulated_key(mut unprotected: Header) -> Result<Vec<u8>, ParseError> {
    match (unprotected.rest.pop(), unprotected.is_empty()) {
        (Some((Label::Int(ENCAPSULATED_KEY), Value::Bytes(key))), true) => Ok(key),
        _ => Err(ParseError::Malformed),
    }
}

#[cfg(test)]
mod tests;
