//! Who calls the connections API: an owner, by a token for this issuer and a proof.
use dauth_protocol::Code;
use dauth_token::{
    AccessTokenRules, CredentialsError, ReplayError, TokenError, dpop_credentials,
    verify_access_token,
};
use http::{HeaderMap, Method, Uri, header};

use crate::{api_error::ApiError, app::App, dpop::DpopError};

/// An owner, proven for this very request.
pub(crate) struct Owner {
    pub(crate) subject: String,
    pub(crate) org: String,
}

/// Verifies token, proof, nonce, and that the owner took part in the grant; then lets the proof
/// pass once.
pub(crate) fn authenticate(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    now_s: u64,
) -> Result<Owner, ApiError> {
    let fields = headers.get_all(header::AUTHORIZATION).iter();
    let token = dpop_credentials(fields.map(|field| field.as_bytes()))?;
    let rules = AccessTokenRules {
        issuer: &app.settings.issuer,
        audience: &app.settings.issuer,
        keys: &app.jwks,
        now_s,
        leeway_s: 0,
    };
    let verified = verify_access_token(token, &rules)?;
    let htu = app.url(uri.path());
    let proof = app
        .dpop
        .verify(headers, method.as_str(), &htu, Some(token), now_s)?;
    let bound = verified.bind(&proof)?;
    let claims = bound.claims();
    app.dpop.admit_once(&proof, &claims.sub, now_s)?;
    match &claims.org {
        Some(org) if claims.owner => Ok(Owner {
            subject: claims.sub.clone(),
            org: org.clone(),
        }),
        _ => Err(ApiError::refused(
            Code::InvalidToken,
            "the token does not come from a grant in which the owner took part",
        )),
    }
}

impl From<CredentialsError> for ApiError {
    fn from(error: CredentialsError) -> Self {
        ApiError::refused(Code::InvalidToken, error.to_string())
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        ApiError::refused(Code::InvalidToken, error.to_string())
    }
}

impl From<DpopError> for ApiError {
    fn from(error: DpopError) -> Self {
        let code = match error {
            DpopError::Nonce => Code::UseDpopNonce,
            DpopError::Replay(ReplayError::Full | ReplayError::Quota) => Code::LimitExceeded,
            _ => Code::InvalidToken,
        };
        ApiError::refused(code, error.to_string())
    }
}
