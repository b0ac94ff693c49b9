//! What is wrong with a reply of KMS: known here, and told to nobody.
//!
//! A data key's envelope is not authenticated, so a difference between the ways in which one can
//! fail is an oracle: whoever carries replies learns plaintext from it, bit by bit. All faults are
//! one refusal outside ([`KmsError::ReplyRefused`](super::KmsError::ReplyRefused)); the kinds below
//! are for tests.
use super::envelope::EnvelopeError;

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyFault {
    /// Longer than its bound.
    #[error("the reply is too long")]
    TooLong,
    /// Not the JSON of this operation.
    #[error("the reply is malformed")]
    Malformed,
    /// Made with another key than the measured one.
    #[error("the reply is for another key")]
    OtherKey,
    /// Made with another algorithm than was asked for.
    #[error("the reply names another algorithm than was asked for")]
    OtherAlgorithm,
    /// The key came in the clear: whoever answered did not honour `Recipient`.
    #[error("the reply holds a plaintext, though a recipient was named")]
    PlaintextPresent,
    /// The envelope does not hold.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope holds something else than an AES-256 key.
    #[error("the reply does not hold an AES-256 key")]
    NotAKey,
}
