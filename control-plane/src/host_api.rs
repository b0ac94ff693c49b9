//! For the parent. `/internal/records/{fingerprint}`: records, which it passes to the enclave, and
//! back from there the same records under newer keys. `/internal/receipts`: what the enclave says
//! of calls.
pub(crate) mod receipts;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_protocol::{Fingerprint, limit::MAX_RECORD_BYTES, receipt::Admitted};
use http::{HeaderMap, StatusCode, header};

use crate::{
    app::App,
    clock,
    connections_api::MAX_RECEIPT_BYTES,
    store::{ReencryptError, Reencryption},
};

/// The route.
pub(crate) const PATH: &str = "/internal/records/{fingerprint}";

/// 200 with the record as it is stored, 404, or 410 when it is revoked.
///
/// The fingerprint is looked up in its own column and the bytes are not hashed here: if the
/// database was tampered with, it is the enclave that must notice.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(fingerprint): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !is_host(&app, &headers) {
        return unauthorized();
    }
    let Ok(fingerprint) = fingerprint.parse::<Fingerprint>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match app.store.record(&fingerprint).await {
        Ok(Some(record)) if record.is_revoked => StatusCode::GONE.into_response(),
        Ok(Some(record)) => {
            let fields = [
                (header::CONTENT_TYPE, "application/cose"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (fields, record.bytes).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "the store failed");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// The record of this fingerprint under a newer key of the enclave: 204, 400, 404, 409 when it is
/// not the newest one, 410 when it is revoked, 429 when that happens too often.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(fingerprint): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_host(&app, &headers) {
        return unauthorized();
    }
    let Ok(opened) = fingerprint.parse::<Fingerprint>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some((record, receipt)) = admitted(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let new = Reencryption {
        record: &record,
        receipt: &receipt,
    };
    let status = match app.store.reencrypt(&opened, &new, clock::now_s()).await {
        Ok(()) => {
            tracing::info!(%opened, new = %Fingerprint::of(&record), "record sealed anew");
            StatusCode::NO_CONTENT
        }
        Err(ReencryptError::NotFound) => StatusCode::NOT_FOUND,
        Err(ReencryptError::Revoked) => StatusCode::GONE,
        Err(ReencryptError::Superseded) => StatusCode::CONFLICT,
        Err(error @ ReencryptError::OtherRecord) => {
            tracing::warn!(%opened, %error, "a host's re-encryption is refused");
            StatusCode::BAD_REQUEST
        }
        Err(ReencryptError::TooMany) => StatusCode::TOO_MANY_REQUESTS,
        Err(ReencryptError::Store(error)) => {
            tracing::error!(%error, "the store failed");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    status.into_response()
}

/// Record and receipt.
fn admitted(body: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let admitted: Admitted = serde_json::from_slice(body).ok()?;
    let decode = |text: &str, max: usize| {
        let bytes = BASE64_STANDARD.decode(text).ok();
        bytes.filter(|bytes| (1..=max).contains(&bytes.len()))
    };
    let record = decode(&admitted.record, MAX_RECORD_BYTES)?;
    Some((record, decode(&admitted.receipt, MAX_RECEIPT_BYTES)?))
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"dauth host\"")];
    (StatusCode::UNAUTHORIZED, challenge).into_response()
}

fn is_host(app: &App, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    field
        .to_str()
        .ok()
        .and_then(|field| field.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .is_some_and(|(_, credential)| app.is_host_credential(credential))
}
