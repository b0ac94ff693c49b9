//! Why something was not sealed, not parsed, or not opened.
use dauth_protocol::cbor::CborError;

/// Why something was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Empty, or longer than `MAX_SECRET_BYTES`.
    #[error("a secret must have 1 to 16384 bytes")]
    SecretLength,
    /// The evidence does not endorse these key-configuration bytes.
    #[error("the attestation does not endorse this key configuration")]
    NotEndorsed,
    /// The endorsed key configuration is not what this build understands.
    #[error("the key configuration cannot be read: {0}")]
    KeyConfiguration(CborError),
    /// The key configuration has no recipient key of the KEM asked for.
    #[error("the enclave has no recipient key for this key encapsulation")]
    NoRecipientKey,
    /// A key that does not decode as one of its KEM.
    #[error("the key is not a valid key of its key encapsulation")]
    InvalidKey,
    /// The header names another enclave than the one whose key was attested.
    #[error("the envelope is addressed to another enclave than the attested one")]
    Audience,
    /// What was sealed is longer than its reader accepts.
    #[error("the sealed form is longer than {0} bytes")]
    TooLong(usize),
    /// The source of randomness failed.
    #[error("the source of randomness failed")]
    Randomness,
    /// The primitive failed; with keys that decoded, this does not happen.
    #[error("encryption failed")]
    Encryption,
}

/// Why bytes are no envelope or record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than an envelope or record may be.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// No COSE_Encrypt0 with exactly the header parameters of its kind, or followed by more bytes.
    #[error("not a COSE_Encrypt0 of the expected form")]
    Malformed,
    /// Another encoding of the same content: one content has one encoding.
    #[error("not in the one encoding that is accepted")]
    Encoding,
    /// An algorithm that this build does not know.
    #[error("unknown algorithm")]
    Algorithm,
    /// The DAuth header does not decode.
    #[error("header cannot be read: {0}")]
    Header(CborError),
}

/// It did not open: altered, made for another key, or made by another party.
///
/// One value for every cause, so that whoever sends forgeries learns nothing from the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open")]
pub struct OpenError;
