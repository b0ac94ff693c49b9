//! Refusals of a request itself, as opposed to those of the call that it asks for.
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dauth_protocol::Code;

use super::{
    intake::IntakeError,
    signature::SignatureError,
    wire::{self, Outcome},
};
use crate::IssuerError;

/// What is wrong with a request itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is not taken: {0}")]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("the caller's token is missing: send \"Authorization: Bearer <token>\"")]
    NoToken,
    #[error("the caller's token is refused: {0}")]
    Token(#[source] IssuerError),
    #[error("the request is malformed: {0}")]
    Malformed(#[from] wire::Malformed),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Refusal::Signature(SignatureError::Replayed) => {
                (StatusCode::CONFLICT, Code::InvalidRequest)
            }
            Refusal::Signature(SignatureError::TooMany) | Refusal::Intake(IntakeError::Busy) => {
                (StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded)
            }
            Refusal::Intake(IntakeError::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidRequest)
            }
            Refusal::Intake(IntakeError::Slow) => {
                (StatusCode::REQUEST_TIMEOUT, Code::InvalidRequest)
            }
            Refusal::Intake(IntakeError::Broken) => (StatusCode::BAD_REQUEST, Code::InvalidRequest),
            Refusal::Signature(_) | Refusal::NoToken => {
                (StatusCode::UNAUTHORIZED, Code::InvalidToken)
            }
            Refusal::Token(IssuerError::Token(_)) => (StatusCode::UNAUTHORIZED, Code::InvalidToken),
            Refusal::Token(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::EnclaveUnavailable),
            Refusal::Malformed(_) => (StatusCode::BAD_REQUEST, Code::InvalidRequest),
        };
        (
            status,
            axum::Json(Outcome::refused(code, &self.to_string())),
        )
            .into_response()
    }
}
