//! Why there is no session, or no reply on one.
use http::StatusCode;

use crate::{KeysetMemoryError, Place, session::Body};

/// Why no session came about: one variant per rule.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TLS 1.3 did not come about, or the peer does not hold its certificate's key.
    #[error("the TLS handshake with the enclave failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// This build's TLS provider cannot do TLS 1.3.
    #[error("TLS cannot be set up: {0}")]
    Configuration(#[source] rustls::Error),
    /// The peer sent no certificate, or one without a readable key.
    #[error("the peer's certificate holds no readable key")]
    PeerKey,
    /// HTTP broke before the evidence was complete.
    #[error("the session broke while evidence was fetched: {0}")]
    Http(#[from] hyper::Error),
    /// Handshake and evidence took too long.
    #[error("the enclave did not present evidence in time")]
    TimedOut,
    /// The peer answered the request for evidence with another status than 200.
    #[error("the peer answered the request for evidence with status {0}")]
    EvidenceStatus(StatusCode),
    /// The reply was longer than evidence can be.
    #[error("the evidence is longer than {0} bytes")]
    EvidenceTooLong(usize),
    /// The evidence does not hold.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The evidence is an enclave's, but not of the enclave at the end of this session.
    #[error(
        "the attested TLS key is not the key of this session; something stands between this \
         client and the enclave"
    )]
    OtherTlsKey,
}

impl ConnectError {
    /// Whether the same attempt may succeed a moment later: another enclave of a fleet, or this one
    /// soon, has the keyset's newest generation; or too many asked for evidence at one time.
    pub fn is_momentary(&self) -> bool {
        match self {
            Self::Evidence(EvidenceError::OlderGeneration { .. }) => true,
            Self::EvidenceStatus(status) => *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }
}

/// Why evidence does not endorse an enclave's keys: one variant per rule.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Not the JSON object of an evidence reply, or not base64 in it.
    #[error("the evidence is malformed")]
    Malformed,
    /// Evidence of a root of trust that this build does not know.
    #[error("the evidence is of an unknown type {0:?}; this client knows \"aws-nitro\"")]
    UnknownType(String),
    /// The attestation document does not appraise.
    #[error("the attestation document is refused: {0}")]
    Document(#[source] dauth_attestation::Error),
    /// The document's `user_data` is not the tagged hash of the key configuration.
    #[error("the attestation document is not for the key configuration that came with it")]
    NotTheseKeys,
    /// The attested key configuration is not of a layout that this build knows.
    #[error("the attested key configuration cannot be read: {0}")]
    KeyConfiguration(#[source] dauth_protocol::cbor::CborError),
    /// The enclave serves another audience.
    #[error("the enclave serves the audience {found:?}, not {expected:?}")]
    OtherAudience {
        /// What the expectations name.
        expected: String,
        /// What the attested key configuration names.
        found: String,
    },
    /// The KMS key's policy may be changed, or was not looked at, where a locked one is required.
    #[error(
        "the enclave does not vouch for a locked KMS key, which this client requires: the key's \
         administrators could let another image open the keyset; ask the operator for a locked \
         key, or trust an unlocked one with trust.locked_key = false"
    )]
    UnlockedKey,
    /// Another keyset than the one known of this audience.
    #[error(
        "the enclave has the keyset {found}, not {expected}: its operator lost or replaced the \
         keyset; if the operator announced it, {remedy}", remedy = forget(.place)
    )]
    OtherKeyset {
        /// The one known: hexadecimal.
        expected: String,
        /// The attested one.
        found: String,
        /// What remembers the one known.
        place: Place,
    },
    /// An older generation of the keyset than was seen.
    #[error(
        "the enclave has generation {found} of its keyset, and generation {seen} was seen before: \
         it was given an old keyset, whose keys may have been retired; the operator must put the \
         newest one back"
    )]
    OlderGeneration {
        /// The highest that was seen.
        seen: u64,
        /// The attested one.
        found: u64,
    },
    /// A generation that did not come of the one that was seen.
    #[error(
        "generation {found} of the enclave's keyset did not come of the generation {seen} that was \
         seen before: an old keyset was put back and changed, or this one was changed twice; the \
         operator must put the newest one back; if the operator announced it, {remedy}",
        remedy = forget(.place)
    )]
    OtherHistory {
        /// The highest that was seen.
        seen: u64,
        /// The attested one.
        found: u64,
        /// What remembers the one seen.
        place: Place,
    },
    /// What was seen before is not known, or what is new cannot be noted.
    #[error(transparent)]
    Memory(#[from] KeysetMemoryError),
}

fn forget(place: &Place) -> String {
    match place {
        Place::Process => "restart this program".to_owned(),
        Place::File(path) => format!("remove the entry of this audience in {}", path.display()),
    }
}

/// Why a request got no reply.
#[derive(Debug, thiserror::Error)]
#[error("the session with the enclave broke: {source}")]
pub struct SendError {
    /// What broke.
    #[source]
    pub source: hyper::Error,
    /// The request's body, from its beginning, when the enclave has not processed the request: it
    /// may go out on another session.
    pub unsent: Option<Body>,
}
