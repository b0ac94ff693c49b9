//! What the parent answered, and what it failed to.

/// Why the parent did not give what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No stream, no HTTP, or no answer in time.
    #[error("the parent's host services do not answer")]
    Unavailable,
    /// An answer longer than its bound.
    #[error("the parent's answer is too long")]
    TooLong,
    /// A status that the request does not have.
    #[error("the parent answered with an unexpected status {0}")]
    Status(u16),
    /// JSON of another shape.
    #[error("the parent's answer is malformed")]
    Malformed,
}

/// Why there is no byte stream to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The parent refuses the destination's address.
    #[error("the parent refuses the destination's address")]
    Refused,
    /// The destination does not resolve or does not accept.
    #[error("the destination cannot be reached")]
    Unreachable,
    /// The destination did not accept in time.
    #[error("the destination did not accept in time")]
    TimedOut,
    /// The parent does not answer.
    #[error("the parent's host services do not answer")]
    HostUnavailable,
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The vault has none with this fingerprint.
    #[error("no record with this fingerprint")]
    NotFound,
    /// Its owner revoked it.
    #[error("the record is revoked")]
    Revoked,
    /// The parent or the vault does not answer.
    #[error("records are not available")]
    Unavailable,
}

/// What became of a keyset that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutKeyset {
    /// It is stored.
    Stored,
    /// There is another than was expected, or one at all; it stays.
    OtherStands,
}

/// The keyset, when it is another than one seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysetNews {
    /// It is the one seen before.
    Same,
    /// Another.
    Other(Vec<u8>),
    /// There is none.
    Missing,
}

/// What became of a record that was sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutRecord {
    /// It is stored beside the one that it replaces.
    Stored,
    /// Another has replaced that one already.
    Superseded,
    /// The vault has none with that fingerprint.
    NotFound,
    /// Its owner revoked it.
    Revoked,
}

/// What became of a batch of receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutReceipts {
    /// It is stored.
    Stored,
    /// It is not, and never will be.
    Refused(ReceiptsRefusal),
}

/// Why a batch of receipts is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptsRefusal {
    /// The parent, or who stands behind it, says that it is not one.
    Malformed,
    /// Another is stored in its place.
    OtherStands,
}
