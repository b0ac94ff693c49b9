//! What the enclave tells its operator: an enumerated set of events with typed fields.
//!
//! There is no free text, so no secret, token or upstream's words can slip in. A parent that does
//! not read loses events, which are counted; it never blocks a call.
mod queue;

use dauth_protocol::{Code, Handle, audit::ReceiptId, host::OrderResult};
use serde::Serialize;

pub use queue::Events;

use crate::{host::ReceiptsRefusal, keyset::KeysetError, reencrypt::NotReencrypted};

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The enclave serves.
    Ready {
        /// Hexadecimal keyset id.
        keyset: String,
        /// The keyset's generation.
        generation: u64,
        /// Whether memory is locked.
        memory_locked: bool,
    },
    /// A credential was admitted.
    Admitted {
        /// The connection.
        handle: Handle,
        /// Its version.
        version: u64,
    },
    /// A call was answered by its upstream.
    Called {
        /// The connection.
        handle: Handle,
        /// `DAuth-Receipt-Id` of the reply.
        receipt: ReceiptId,
        /// The upstream's status.
        status: u16,
        /// Time to the head of the reply, in microseconds.
        micros: u64,
    },
    /// The vault has a connection's record under the current record key.
    Reencrypted {
        /// The connection.
        handle: Handle,
    },
    /// It has not; the record that it has stays good.
    NotReencrypted {
        /// The connection.
        handle: Handle,
        /// Why.
        reason: NotReencrypted,
    },
    /// A request was refused.
    Refused {
        /// Why.
        code: Code,
        /// A constant of this program.
        detail: &'static str,
        /// `DAuth-Receipt-Id`, where the record was opened.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<ReceiptId>,
    },
    /// A connection's replies held its credential too often: it is not called until it is rotated.
    ConnectionSuspended {
        /// The connection.
        handle: Handle,
        /// `DAuth-Receipt-Id` of the reply that was one too many.
        receipt: ReceiptId,
    },
    /// Receipts of calls were lost because the parent did not take those before them.
    ReceiptsLost {
        /// How many, since boot.
        total: u64,
    },
    /// The parent will not store a batch of receipts: its owners will miss them.
    ReceiptsRefused {
        /// The sequence of the first.
        first: u64,
        /// How many.
        count: u64,
        /// Why.
        reason: ReceiptsRefusal,
    },
    /// The clock and the Nitro Secure Module disagree; nothing is served until they agree.
    ClockDisagrees {
        /// Seconds between them.
        difference_s: u64,
    },
    /// A later generation of the keyset serves.
    KeysetChanged {
        /// It.
        generation: u64,
    },
    /// The parent offers a keyset file that is not taken; what served goes on. Once for each file.
    KeysetRefused {
        /// Why.
        reason: KeysetRefusal,
    },
    /// The next generation was not made: one that was ordered, or one that was due.
    KeysetChangeRefused {
        /// Why.
        result: OrderResult,
    },
    /// The enclave was told to stop, and has: calls have ended, or were cut off.
    Stopped,
    /// Events were lost because the parent did not read.
    Dropped {
        /// How many, since boot.
        total: u64,
    },
}

/// Why a keyset file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysetRefusal {
    /// There is none any more.
    Missing,
    /// It is not one of this build's.
    Malformed,
    /// It has no birth document of this image or a predecessor that endorses it.
    Birth,
    /// It is another deployment's, or under a KMS key that the configuration does not name.
    OtherDeployment,
    /// It is another keyset than the one that runs.
    OtherKeyset,
    /// Its generation is not later than the one that runs.
    NotLater,
    /// It did not come of the generation that runs.
    OtherHistory,
    /// KMS released no data key that opens it.
    NotReleased,
    /// The Nitro Secure Module or the parent did not answer.
    Unavailable,
}

impl From<&KeysetError> for KeysetRefusal {
    fn from(error: &KeysetError) -> Self {
        match error {
            KeysetError::Missing => Self::Missing,
            KeysetError::Malformed | KeysetError::UnknownVersion(_) | KeysetError::TooManyKeys => {
                Self::Malformed
            }
            KeysetError::Birth(_)
            | KeysetError::OtherImage
            | KeysetError::OtherPurpose
            | KeysetError::OtherBirth
            | KeysetError::CreationTime
            | KeysetError::OtherWrappedKey
            | KeysetError::OtherKeys => Self::Birth,
            KeysetError::OtherDeployment => Self::OtherDeployment,
            KeysetError::OtherKeyset => Self::OtherKeyset,
            KeysetError::NotLater => Self::NotLater,
            KeysetError::OtherHistory => Self::OtherHistory,
            KeysetError::Kms(_) | KeysetError::NotReleased => Self::NotReleased,
            KeysetError::AlreadyThere
            | KeysetError::NotStored
            | KeysetError::Host(_)
            | KeysetError::Attester(_)
            | KeysetError::Generation => Self::Unavailable,
        }
    }
}
