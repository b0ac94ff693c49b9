//! `POST /oauth2/token` (RFC 6749 section 3.2).
use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use dauth_token::{AccessClaims, MintError, mint_access_token};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use crate::{
    app::App,
    clients::{AuthenticationError, Client},
    clock,
    form::Form,
    grant::{self, Granted, Request},
    oauth_error::{ErrorCode, OAuthError},
};

/// The path, of which `htu` is made.
pub(crate) const PATH: &str = "/oauth2/token";
/// The body of a request: a subject token and a few names.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// Answers a token request. Every answer carries a nonce and is stored nowhere.
pub(crate) async fn post(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let now_s = clock::now_s();
    let mut response = match answer(&app, &headers, &body, now_s).await {
        Ok(response) => Json(response).into_response(),
        Err(error) => {
            tracing::info!(error = error.code.as_str(), why = %error.description, "token refused");
            app.metrics.token_refused(error.code);
            error.into_response()
        }
    };
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if let Ok(nonce) = HeaderValue::from_str(&app.dpop.nonce(now_s)) {
        fields.insert("dpop-nonce", nonce);
    }
    response
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    now_s: u64,
) -> Result<TokenResponse, OAuthError> {
    let form = parse(headers, body)?;
    let client = authenticate(app, headers, &form)?;
    let htu = app.url(PATH);
    let proof = app.dpop.verify(headers, "POST", &htu, None, now_s)?;
    // Only callers that are known can fill the cache, each its own part of it.
    app.dpop.admit_once(&proof, &client.id, now_s)?;
    let request = Request {
        client,
        form: &form,
        holder: proof.thumbprint(),
        now_s,
    };
    let granted = grant::decide(app, &request).await?;
    issue(app, &granted, now_s)
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Form, OAuthError> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(FORM));
    if !is_form {
        let description = "the content type must be application/x-www-form-urlencoded";
        return Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    }
    Form::parse(body).map_err(|error| OAuthError::new(ErrorCode::InvalidRequest, error.to_string()))
}

fn authenticate<'a>(
    app: &'a App,
    headers: &HeaderMap,
    form: &Form,
) -> Result<&'a Client, OAuthError> {
    let fields: Vec<&[u8]> = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    app.settings
        .clients
        .authenticate(&fields, form)
        .map_err(|error| {
            let code = match error {
                AuthenticationError::TwoMethods => ErrorCode::InvalidRequest,
                AuthenticationError::Malformed | AuthenticationError::Failed => {
                    ErrorCode::InvalidClient
                }
            };
            OAuthError::new(code, error.to_string())
        })
}

fn issue(app: &App, granted: &Granted, now_s: u64) -> Result<TokenResponse, OAuthError> {
    let claims: &AccessClaims = &granted.claims;
    let access_token =
        mint_access_token(claims, app.key.kid(), &app.key).map_err(|error| match error {
            MintError::TooLong(_) => OAuthError::new(
                ErrorCode::InvalidTarget,
                "the token would be too long; revoke connections that are no longer used",
            ),
            other => OAuthError::new(ErrorCode::ServerError, other.to_string()),
        })?;
    app.metrics.token_issued(granted.grant_type);
    // The token itself is never logged; `jti` names it.
    tracing::info!(
        grant = granted.grant_type, client = %claims.client_id, aud = %claims.aud,
        jti = %claims.jti, "token issued"
    );
    Ok(TokenResponse {
        access_token,
        token_type: "DPoP",
        expires_in: claims.exp.saturating_sub(now_s),
        scope: claims.scope.clone(),
        issued_token_type: granted.issued_token_type,
    })
}
