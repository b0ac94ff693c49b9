//! Why an owner's wish was not met.
use dauth_dispatch::{CallError, SessionError, TokenError, web::WebError};
use dauth_protocol::{Code, handle::InvalidHandle, limit::MIN_SECRET_BYTES, policy::InvalidPolicy};
use dauth_sealing::SealError;

use crate::{ProfileError, ReceiptError, kept::KeptPolicyError, pin::PinError, vault::VaultError};

/// What a token was wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Requests to the enclave.
    Enclave,
    /// Requests to the control plane.
    ControlPlane,
}

impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Step::Enclave => "the enclave",
            Step::ControlPlane => "the control plane",
        })
    }
}

/// Why an owner's wish was not met: one variant per step.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The profile, or a file that it names, cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// No HTTP client.
    #[error(transparent)]
    Web(#[from] WebError),
    /// No token.
    #[error("no token for {step}: {source}")]
    Token {
        /// For what.
        step: Step,
        /// Why not.
        #[source]
        source: TokenError,
    },
    /// The token does not say whose it is.
    #[error("the issuer's token lacks what an owner's token has: {0}")]
    Claims(&'static str),
    /// The handle made for the connection is none.
    #[error(transparent)]
    Handle(#[from] InvalidHandle),
    /// A server's keys cannot be pinned.
    #[error("the keys of {server} cannot be pinned: {source}")]
    Pin {
        /// Which server.
        server: String,
        /// Why not.
        #[source]
        source: PinError,
    },
    /// The policy is not a valid one.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The policy in force cannot be kept.
    #[error("the policy cannot be kept: {0}; revoke the connection and make a new one")]
    KeptPolicy(#[from] KeptPolicyError),
    /// Too short to be redacted without damage to ordinary text.
    #[error("the secret is shorter than {MIN_SECRET_BYTES} bytes, too short to be protected")]
    ShortSecret,
    /// A revoked connection cannot be changed.
    #[error("the connection is revoked; make a new one with `dauth connect`")]
    Revoked,
    /// No attested session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Nothing was sealed.
    #[error("the credential was not sealed: {0}")]
    Seal(#[from] SealError),
    /// The enclave refused, or the session broke.
    #[error(transparent)]
    Enclave(#[from] CallError),
    /// What the enclave answered is not what was asked; nothing was stored.
    #[error("nothing was stored: {0}")]
    Receipt(#[from] ReceiptError),
    /// The control plane did not do as asked.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The system's clock is before 1970.
    #[error("this system's clock is wrong: it is set before 1970")]
    Clock,
}

impl OwnerError {
    /// The code, when the enclave or the control plane refused with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            OwnerError::Enclave(error) => error.code(),
            OwnerError::Vault(error) => error.code(),
            _ => None,
        }
    }
}
