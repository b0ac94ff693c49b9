//! Why there is no keyset: one variant for each rule.
use dauth_protocol::host::OrderResult;

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
    /// KMS did not release the data key, for a reason that it gave.
    #[error(transparent)]
    Kms(KmsError),
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
    /// KMS's reply is not one that it makes, or the data key in it does not open the keyset. To
    /// whoever carries the bytes these are one, so that he cannot use the enclave to tell forgeries
    /// apart.
    #[error(
        "KMS released no data key that opens the keyset: its reply or the keyset was changed, or \
         the keyset was sealed by someone else"
    )]
    NotReleased,
    /// What it holds are not the keys that the birth document endorses.
    #[error("the keyset holds other keys than its birth document endorses")]
    OtherKeys,
    /// New keys could not be made.
    #[error("new keys could not be made")]
    Generation,
    /// More former keys than a keyset holds.
    #[error("the keyset holds too many former keys: retire some, or wait until they are due")]
    TooManyKeys,
    /// Another keyset than the one that runs.
    #[error("the parent offers another keyset than the one that runs")]
    OtherKeyset,
    /// A generation that is not later than the one that runs.
    #[error(
        "the parent offers another keyset of a generation that is not later than the one that runs"
    )]
    NotLater,
    /// A generation that did not come of the one that runs.
    #[error("the parent offers a keyset that did not come of the generation that runs")]
    OtherHistory,
}

impl From<KmsError> for KeysetError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::ReplyRefused => Self::NotReleased,
            error => Self::Kms(error),
        }
    }
}

impl KeysetError {
    /// What the operator is told of an order that failed by this; `otherwise` where it is neither
    /// KMS nor the parent.
    pub(super) fn order_result(&self, otherwise: OrderResult) -> OrderResult {
        match self {
            Self::Kms(_) | Self::NotReleased => OrderResult::KmsRefused,
            Self::Host(_) | Self::NotStored => OrderResult::NotStored,
            _ => otherwise,
        }
    }

    /// Whether the same file will always be refused: what its bytes say is why.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::UnknownVersion(_)
                | Self::Birth(_)
                | Self::OtherImage
                | Self::OtherPurpose
                | Self::OtherBirth
                | Self::OtherDeployment
                | Self::OtherWrappedKey
                | Self::OtherKeys
                | Self::TooManyKeys
                | Self::OtherKeyset
                | Self::NotLater
                | Self::OtherHistory
        )
    }
}
