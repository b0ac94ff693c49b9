//! The payload: the attestation document and its rules
//! (AWS NSM API, `docs/attestation_process.md`, section 3.2.2).
use core::fmt;

use crate::{
    Error,
    cbor::{CborError, Reader},
};

/// The longest document that is read: a payload of 16384 bytes (AWS section 3.1) and its envelope.
pub const MAX_DOCUMENT_BYTES: usize = 16_384 + 128;
/// The most certificates in `cabundle`: a root, and the six intermediates that webpki follows.
pub const MAX_CABUNDLE_CERTIFICATES: usize = 7;

const MAX_CERTIFICATE_BYTES: usize = 1024;
const MAX_OPTIONAL_BYTES: usize = 1024;
const PCRS: usize = 32;

/// The fields of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The id of the NSM that signed.
    ModuleId,
    /// The algorithm of the PCRs.
    Digest,
    /// When the document was made, in milliseconds.
    Timestamp,
    /// The locked registers.
    Pcrs,
    /// The certificate whose key signed.
    Certificate,
    /// The certificates above it, the root first.
    Cabundle,
    /// A public key of the enclave's choice.
    PublicKey,
    /// Data of the enclave's choice.
    UserData,
    /// The verifier's nonce.
    Nonce,
}

impl Field {
    fn from_key(key: &str) -> Option<Self> {
        Some(match key {
            "module_id" => Self::ModuleId,
            "digest" => Self::Digest,
            "timestamp" => Self::Timestamp,
            "pcrs" => Self::Pcrs,
            "certificate" => Self::Certificate,
            "cabundle" => Self::Cabundle,
            "public_key" => Self::PublicKey,
            "user_data" => Self::UserData,
            "nonce" => Self::Nonce,
            _ => return None,
        })
    }

    /// The certificates that are in this field, in words.
    pub(crate) fn certificate(self) -> &'static str {
        match self {
            Self::Cabundle => "a CA certificate of cabundle",
            _ => "the signing certificate",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ModuleId => "module_id",
            Self::Digest => "digest",
            Self::Timestamp => "timestamp",
            Self::Pcrs => "pcrs",
            Self::Certificate => "certificate",
            Self::Cabundle => "cabundle",
            Self::PublicKey => "public_key",
            Self::UserData => "user_data",
            Self::Nonce => "nonce",
        })
    }
}

/// The registers by index; those that were not locked are absent.
pub(crate) type Pcrs<'a> = [Option<&'a [u8]>; PCRS];

/// A well-formed document: each field keeps its rule, and nobody has vouched for it.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) module_id: &'a str,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: Pcrs<'a>,
    pub(crate) certificate: &'a [u8],
    pub(crate) cabundle: Vec<&'a [u8]>,
    pub(crate) public_key: Option<&'a [u8]>,
    pub(crate) user_data: Option<&'a [u8]>,
    pub(crate) nonce: Option<&'a [u8]>,
}

/// The fields found so far. An optional field that is null is found, too.
#[derive(Default)]
struct Found<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp_ms: Option<u64>,
    pcrs: Option<Pcrs<'a>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        let mut found = Found::default();
        let mut pairs = reader.map().map_err(Error::Payload)?;
        while pairs.advance(&mut reader).map_err(Error::Payload)? {
            let key = reader.text().map_err(Error::Payload)?;
            let field = Field::from_key(key).ok_or(Error::UnknownField)?;
            found.read(field, &mut reader)?;
        }
        reader.finish().map_err(Error::Payload)?;
        found.complete()
    }
}

impl<'a> Found<'a> {
    fn read(&mut self, field: Field, reader: &mut Reader<'a>) -> Result<(), Error> {
        let malformed = |source: CborError| Error::Value { field, source };
        match field {
            Field::ModuleId => put(
                &mut self.module_id,
                field,
                reader.text().map_err(malformed)?,
            ),
            Field::Digest => put(&mut self.digest, field, reader.text().map_err(malformed)?),
            Field::Timestamp => put(
                &mut self.timestamp_ms,
                field,
                reader.unsigned().map_err(malformed)?,
            ),
            Field::Pcrs => put(&mut self.pcrs, field, pcrs(reader)?),
            Field::Certificate => put(&mut self.certificate, field, certificate(field, reader)?),
            Field::Cabundle => put(&mut self.cabundle, field, cabundle(reader)?),
            Field::PublicKey => put(&mut self.public_key, field, optional(field, reader)?),
            Field::UserData => put(&mut self.user_data, field, optional(field, reader)?),
            Field::Nonce => put(&mut self.nonce, field, optional(field, reader)?),
        }
    }

    fn complete(self) -> Result<Document<'a>, Error> {
        let document = Document {
            module_id: self.module_id.ok_or(Error::MissingField(Field::ModuleId))?,
            timestamp_ms: self
                .timestamp_ms
                .ok_or(Error::MissingField(Field::Timestamp))?,
            pcrs: self.pcrs.ok_or(Error::MissingField(Field::Pcrs))?,
            certificate: self
                .certificate
                .ok_or(Error::MissingField(Field::Certificate))?,
            cabundle: self.cabundle.ok_or(Error::MissingField(Field::Cabundle))?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        };
        if self.digest.ok_or(Error::MissingField(Field::Digest))? != "SHA384" {
            return Err(Error::Digest);
        }
        if document.module_id.is_empty() {
            return Err(Error::EmptyModuleId);
        }
        if document.timestamp_ms == 0 {
            return Err(Error::ZeroTimestamp);
        }
        Ok(document)
    }
}

fn put<T>(slot: &mut Option<T>, field: Field, value: T) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::DuplicateField(field)),
    }
}

fn pcrs<'a>(reader: &mut Reader<'a>) -> Result<Pcrs<'a>, Error> {
    let field = Field::Pcrs;
    let malformed = |source: CborError| Error::Value { field, source };
    let mut pcrs: Pcrs<'a> = [None; PCRS];
    let mut pairs = reader.map().map_err(malformed)?;
    while pairs.advance(reader).map_err(malformed)? {
        let index = reader.unsigned().map_err(malformed)?;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| pcrs.get_mut(index))
            .ok_or(Error::PcrIndex(index))?;
        let value = reader.bytes().map_err(malformed)?;
        if !matches!(value.len(), 32 | 48 | 64) {
            return Err(Error::PcrLength {
                index,
                length: value.len(),
            });
        }
        if slot.replace(value).is_some() {
            return Err(Error::DuplicatePcr(index));
        }
    }
    // At most 32 follows from the indices; at least one is a rule of its own.
    if pcrs.iter().all(Option::is_none) {
        return Err(Error::NoPcrs);
    }
    Ok(pcrs)
}

fn certificate<'a>(field: Field, reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let certificate = reader
        .bytes()
        .map_err(|source| Error::Value { field, source })?;
    match certificate.len() {
        1..=MAX_CERTIFICATE_BYTES => Ok(certificate),
        length => Err(Error::CertificateLength { field, length }),
    }
}

fn cabundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let field = Field::Cabundle;
    let malformed = |source: CborError| Error::Value { field, source };
    let mut items = reader.array().map_err(malformed)?;
    let mut cabundle = Vec::new();
    while items.advance(reader).map_err(malformed)? {
        if cabundle.len() == MAX_CABUNDLE_CERTIFICATES {
            return Err(Error::LongCabundle);
        }
        cabundle.push(certificate(field, reader)?);
    }
    if cabundle.is_empty() {
        return Err(Error::EmptyCabundle);
    }
    Ok(cabundle)
}

/// An optional field: absent when it is null or empty, as real NSMs have it in both ways.
fn optional<'a>(field: Field, reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    let value = reader
        .bytes_or_null()
        .map_err(|source| Error::Value { field, source })?
        .filter(|value| !value.is_empty());
    match value.map(<[u8]>::len) {
        Some(length) if length > MAX_OPTIONAL_BYTES => Err(Error::OptionalLength { field, length }),
        _ => Ok(value),
    }
}
