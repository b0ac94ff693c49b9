//! Replies of the enclave's own words.
use dauth_protocol::{Code, Problem};
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};

use crate::{refusal::Refusal, reply::ReplyBody, suspension::SUSPENDED};

const DAUTH_ERROR: HeaderName = HeaderName::from_static("dauth-error");

/// A value in its JSON form.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Response<ReplyBody>, Refusal> {
    let body = serde_json::to_vec(value)
        .map_err(|_| Refusal::new(Code::EnclaveUnavailable, "the reply has no JSON form"))?;
    let mut response = Response::new(ReplyBody::own(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A refusal of a request by `method` as a problem document (RFC 9457).
pub(super) fn refused(refusal: Refusal, method: &Method) -> Response<ReplyBody> {
    let Refusal { code, detail } = refusal;
    let mut problem = Problem::new(code, Some(detail));
    problem.retryable &= may_be_repeated(refusal, method);
    let mut response = Response::new(ReplyBody::own(problem.to_json()));
    *response.status_mut() =
        StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(DAUTH_ERROR, HeaderValue::from_static(code.as_str()));
    // RFC 9449 sections 7.1 and 9: how to do better.
    let challenge = match code {
        Code::UseDpopNonce => Some(r#"DPoP error="use_dpop_nonce", algs="ES256 EdDSA""#),
        Code::InvalidToken => Some(r#"DPoP error="invalid_token", algs="ES256 EdDSA""#),
        _ => None,
    };
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// After these the upstream may have acted all the same: only what is idempotent may then be sent
/// again without asking (RFC 9110 section 9.2.2).
fn may_be_repeated(refusal: Refusal, method: &Method) -> bool {
    match refusal.code {
        Code::DownstreamUnreachable | Code::DownstreamTimeout => method.is_idempotent(),
        // Waiting does not lift it.
        _ if refusal == SUSPENDED => false,
        _ => true,
    }
}
