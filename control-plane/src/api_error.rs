//! Refusals of the connections API: problem documents (RFC 9457).
use axum::response::{IntoResponse, Response};
use dauth_protocol::{Code, Problem};
use dauth_token::Algorithm;
use http::{HeaderValue, StatusCode, header};

use crate::store::{CreateError, RotateError, StoreError};

/// Why a request was refused, in words written here.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// With one of the codes that the enclave uses too.
    Refused { code: Code, detail: String },
    /// 409: what is asked for collides with what there is.
    Conflict(String),
    /// 500: the store failed.
    Store,
}

impl ApiError {
    pub(crate) fn refused(code: Code, detail: impl Into<String>) -> Self {
        ApiError::Refused {
            code,
            detail: detail.into(),
        }
    }

    fn too_many() -> Self {
        Self::refused(
            Code::LimitExceeded,
            "there are too many live connections; revoke those no longer used",
        )
    }

    /// No such connection of this owner: the same whether another has it or nobody.
    pub(crate) fn not_found() -> Self {
        Self::refused(
            Code::ConnectionNotFound,
            "the caller has no connection of this handle",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        ApiError::Store
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Store(error) => error.into(),
            CreateError::TooMany => ApiError::too_many(),
            CreateError::TooManyEver => ApiError::refused(Code::LimitExceeded, error.to_string()),
            CreateError::HandleTaken | CreateError::RecordKnown => {
                ApiError::Conflict(error.to_string())
            }
        }
    }
}

impl From<RotateError> for ApiError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Store(error) => error.into(),
            RotateError::NotFound => ApiError::not_found(),
            RotateError::TooMany => ApiError::too_many(),
            RotateError::Revoked => ApiError::refused(
                Code::ConnectionRevoked,
                "a revoked connection stays revoked",
            ),
            RotateError::Version | RotateError::RecordKnown => {
                ApiError::Conflict(error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = match self {
            ApiError::Refused { code, detail } => Problem::new(code, Some(&detail)),
            ApiError::Conflict(detail) => Problem {
                title: "The request collides with what is stored.".to_owned(),
                status: StatusCode::CONFLICT.as_u16(),
                ..Problem::new(Code::InvalidRequest, Some(&detail))
            },
            ApiError::Store => Problem {
                title: "The store failed; try again later.".to_owned(),
                status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
                ..Problem::new(Code::EnclaveUnavailable, None)
            },
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or_default();
        let mut response = (status, problem.to_json()).into_response();
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        fields.insert(
            "dauth-error",
            HeaderValue::from_static(problem.code.as_str()),
        );
        if let Some(challenge) = challenge(problem.code) {
            fields.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// RFC 9449 section 7.1.
fn challenge(code: Code) -> Option<HeaderValue> {
    let error = match code {
        Code::InvalidToken => "invalid_token",
        Code::UseDpopNonce => "use_dpop_nonce",
        _ => return None,
    };
    let algorithms = Algorithm::NAMES.join(" ");
    HeaderValue::from_str(&format!("DPoP error=\"{error}\", algs=\"{algorithms}\"")).ok()
}
