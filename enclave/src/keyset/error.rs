//! Why there is no keyset: one variant for each rule.
use crate::{host::HostError, kms::KmsError, platform::AttesterError};

/// The rule that a keyset, or its making, breaks.
#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    /// The parent has none. A normal boot never makes one: hiding a keyset must not fork it.
    #[error(
        "there is no keyset: create one with `dauth keys create`, or restore the one there was"
    )]
    Missing,
    /// A keyset exists already.
    #[error("a keyset exists already: creation never replaces one")]
    AlreadyThere,
    /// What was stored does not come back.
    #[error("the parent does not return the keyset that it was given")]
    NotStored,
    /// The parent does not answer.
    #[error("the keyset is not available: {0}")]
    Host(#[from] HostError),
    /// The Nitro Secure Module does not answer.
    #[error("the keyset needs the Nitro Secure Module: {0}")]
    Attester(#[from] AttesterError),
    /// KMS did not release the data key.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// Not the CBOR of a sealed keyset, or with an unknown field, or longer than its bound.
    #[error("the keyset file is malformed, has an unknown field, or is too long")]
    Malformed,
    /// A version that this build does not know.
    #[error("the keyset file has the unknown version {0}")]
    UnknownVersion(u64),
    /// The birth document does not verify.
    #[error("the keyset's birth document does not verify: {0}")]
    Birth(#[source] dauth_attestation::Error),
    /// Made by an image or configuration that is not to be trusted with it.
    #[error(
        "the keyset was made by another image or configuration than this one and its predecessors"
    )]
    OtherImage,
    /// An attestation document made for something else.
    #[error("the keyset's birth document was made for another purpose")]
    OtherPurpose,
    /// A birth document of another keyset.
    #[error("the keyset's birth document is another keyset's")]
    OtherBirth,
    /// The file's time of creation is not the birth document's.
    #[error("the keyset's time of creation is not that of its birth document, or has not come yet")]
    CreationTime,
    /// Another deployment's keyset.
    #[error("the keyset belongs to another deployment or KMS key")]
    OtherDeployment,
    /// The wrapped data key was exchanged.
    #[error("the keyset's wrapped data key is not the one that it was born with")]
    OtherWrappedKey,
    /// The AEAD does not verify under the data key that KMS released.
    #[error(
        "the keyset does not open under its data key: it was changed, or sealed by someone else"
    )]
    Unopenable,
    /// What it holds are not the keys that the birth document endorses.
    #[error("the keyset holds other keys than its birth document endorses")]
    OtherKeys,
    /// New keys could not be made.
    #[error("new keys could not be made")]
    Generation,
}
