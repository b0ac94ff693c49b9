//! CBOR (RFC 8949) of the structures in this crate.
use serde::{Serialize, de::DeserializeOwned};

/// The bytes are not the CBOR structure that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Longer than the structure may be.
    #[error("CBOR longer than {0} bytes")]
    TooLong(usize),
    /// Not CBOR, or another structure, or an unknown field.
    #[error("CBOR of another shape than expected")]
    Malformed,
    /// A version that this build does not know.
    #[error("unknown version {0}")]
    UnknownVersion(u64),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail, and the structures here hold nothing that CBOR lacks.
    if ciborium::into_writer(value, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CborError> {
    if bytes.len() > max {
        return Err(CborError::TooLong(max));
    }
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|_| CborError::Malformed)?;
    // Trailing bytes would let two encodings stand for one structure.
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CborError::Malformed)
    }
}
