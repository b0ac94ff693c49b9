//! Errors of the token crate, as a caller is told of them.
//!
//! Each detail is a constant: nothing that a token or a proof says comes back in a refusal.
use dauth_protocol::Code;
use dauth_token::{CredentialsError, JwsError, ProofError, ReplayError, TokenError};

use crate::{issuer::IssuerKeysError, refusal::Refusal};

pub(super) fn credentials(error: CredentialsError) -> Refusal {
    let detail = match error {
        CredentialsError::NoAuthorization => {
            "the request has no Authorization field; send the token with the DPoP scheme"
        }
        CredentialsError::NoProof => "the request has no DPoP field; send a proof in it",
        CredentialsError::Repeated(_) => {
            "the request has more than one Authorization or DPoP field"
        }
        CredentialsError::Bearer => {
            "the token is bound to a key and cannot be used as a Bearer token; use the DPoP scheme"
        }
        CredentialsError::OtherScheme => "the Authorization field has another scheme than DPoP",
        CredentialsError::Malformed(_) => "the Authorization or the DPoP field is malformed",
    };
    Refusal::new(Code::InvalidToken, detail)
}

pub(super) fn token(error: TokenError) -> Refusal {
    let detail = match error {
        TokenError::Jws(JwsError::Signature) => "the access token's signature does not verify",
        TokenError::Jws(_) => "the access token is not an acceptable JWT",
        TokenError::NoKeyId => "the access token names no key",
        TokenError::UnknownKey => "the access token names a key that the issuer does not have",
        TokenError::Claims => "a claim of the access token is missing or malformed",
        TokenError::Issuer => "the access token is by another issuer",
        TokenError::Audience => "the access token is for another resource than this enclave",
        TokenError::Expired => "the access token has expired",
        TokenError::NotYetValid => "the access token is not valid yet",
        TokenError::Unbound => "the access token is not bound to a key",
        TokenError::OtherKey => "the DPoP proof is by another key than the access token's",
        TokenError::OtherToken => "the DPoP proof is for another access token",
    };
    Refusal::new(Code::InvalidToken, detail)
}

pub(super) fn proof(error: ProofError) -> Refusal {
    let detail = match error {
        ProofError::Jws(JwsError::Signature) => "the DPoP proof's signature does not verify",
        ProofError::Jws(_) => "the DPoP proof is not an acceptable JWT",
        ProofError::NoKey | ProofError::Key(_) => "the key in the DPoP proof is not acceptable",
        ProofError::Claim(_) => "a claim of the DPoP proof is missing or malformed",
        ProofError::Method => "the DPoP proof is for another method",
        ProofError::Uri => "the DPoP proof is for another URI",
        ProofError::TooOld => "the DPoP proof is too old",
        ProofError::InTheFuture => "the DPoP proof is dated in the future",
        ProofError::AccessToken => "the DPoP proof is not for this access token",
    };
    Refusal::new(Code::InvalidToken, detail)
}

pub(super) fn replay(error: ReplayError) -> Refusal {
    match error {
        ReplayError::Replayed => Refusal::new(Code::InvalidToken, "the DPoP proof was used before"),
        ReplayError::Expired => Refusal::new(Code::InvalidToken, "the DPoP proof is too old"),
        ReplayError::Quota => Refusal::new(
            Code::LimitExceeded,
            "too many recent DPoP proofs of this key or tenant",
        ),
        ReplayError::Full => Refusal::new(Code::LimitExceeded, "too many recent DPoP proofs"),
    }
}

pub(super) fn keys(_: IssuerKeysError) -> Refusal {
    Refusal::new(
        Code::EnclaveUnavailable,
        "the issuer's keys cannot be fetched, and those that were are too old",
    )
}
