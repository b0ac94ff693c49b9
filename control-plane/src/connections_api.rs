//! `/v1/connections`: an owner's connections. The caller proves to be the owner on every request.
use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_protocol::{
    BaseUrl, Code, Handle,
    limit::{MAX_POLICY_SERVERS, MAX_RECORD_BYTES},
};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    api_error::ApiError,
    app::App,
    clock, owner,
    store::{Change, NewConnection},
};

/// The body of a request: record and receipt in base64, and a few names.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;
pub(crate) const MAX_RECEIPT_BYTES: usize = 16 * 1024;
const MAX_NAME_BYTES: usize = 64;
const MAX_SERVER_BYTES: usize = 1024;
/// Beyond it no integer is exact in every JSON reader.
const MAX_TIME_S: u64 = (1 << 53) - 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    handle: Handle,
    name: String,
    #[serde(deserialize_with = "base64")]
    record: Vec<u8>,
    #[serde(deserialize_with = "base64")]
    receipt: Vec<u8>,
    base_url: BaseUrl,
    #[serde(default)]
    servers: Vec<String>,
    expires: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    #[serde(deserialize_with = "base64")]
    record: Vec<u8>,
    #[serde(deserialize_with = "base64")]
    receipt: Vec<u8>,
    base_url: BaseUrl,
    #[serde(default)]
    servers: Vec<String>,
    expires: u64,
    /// What the record was sealed as, so that of two rotations at once one is refused.
    #[serde(default)]
    version: Option<u64>,
}

/// `POST /v1/connections`: 201 with handle, fingerprint and version.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let now_s = clock::now_s();
    let owner = owner::authenticate(&app, &method, &uri, &headers, now_s)?;
    let body: CreateBody = parse(&body)?;
    check_name(&body.name)?;
    let base_url = body.base_url.to_string();
    let change = Change {
        record: &body.record,
        receipt: &body.receipt,
        base_url: &base_url,
        servers: &body.servers,
        expires: body.expires,
    };
    check(&change, now_s)?;
    let new = NewConnection {
        owner: &owner.subject,
        org: &owner.org,
        handle: &body.handle,
        name: &body.name,
        change,
    };
    let fingerprint = app.store.create(&new, now_s).await?;
    tracing::info!(handle = %body.handle, %fingerprint, "connection created");
    let reply = json!({ "handle": body.handle, "fingerprint": fingerprint, "version": 1 });
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

/// `GET /v1/connections`: all of them, the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let owner = owner::authenticate(&app, &method, &uri, &headers, clock::now_s())?;
    let connections = app.store.connections(&owner.subject).await?;
    Ok(Json(json!({ "connections": connections })))
}

/// `GET /v1/connections/{handle}`: one of them; unless it is revoked, with its record and admission
/// receipt, from which its owner reads the policy that is in force.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(handle): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let owner = owner::authenticate(&app, &method, &uri, &headers, clock::now_s())?;
    let handle = parse_handle(&handle)?;
    let connection = app.store.connection(&owner.subject, &handle).await?;
    let mut reply = json!(connection.ok_or_else(ApiError::not_found)?);
    if let Some(deposited) = app.store.deposited(&owner.subject, &handle).await? {
        reply["record"] = BASE64_STANDARD.encode(deposited.record).into();
        reply["receipt"] = BASE64_STANDARD.encode(deposited.receipt).into();
    }
    Ok(Json(reply))
}

/// `DELETE /v1/connections/{handle}`: 204, also when it was revoked before.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Path(handle): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let now_s = clock::now_s();
    let owner = owner::authenticate(&app, &method, &uri, &headers, now_s)?;
    let handle = parse_handle(&handle)?;
    if !app.store.revoke(&owner.subject, &handle, now_s).await? {
        return Err(ApiError::not_found());
    }
    tracing::info!(%handle, "connection revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/connections/{handle}/rotate`: 200 with the new fingerprint and version.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Path(handle): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let now_s = clock::now_s();
    let owner = owner::authenticate(&app, &method, &uri, &headers, now_s)?;
    let handle = parse_handle(&handle)?;
    let body: RotateBody = parse(&body)?;
    let base_url = body.base_url.to_string();
    let change = Change {
        record: &body.record,
        receipt: &body.receipt,
        base_url: &base_url,
        servers: &body.servers,
        expires: body.expires,
    };
    check(&change, now_s)?;
    let (fingerprint, version) = app
        .store
        .rotate(&owner.subject, &handle, &change, body.version, now_s)
        .await?;
    tracing::info!(%handle, version, %fingerprint, "connection rotated");
    Ok(Json(
        json!({ "handle": handle, "fingerprint": fingerprint, "version": version }),
    ))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde's message may quote the body; it stays here.
    serde_json::from_slice(body).map_err(|_| {
        ApiError::refused(
            Code::InvalidRequest,
            "the body is not JSON of the expected form",
        )
    })
}

/// A text that is no handle names no connection.
fn parse_handle(text: &str) -> Result<Handle, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let has_form =
        (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
    // A token lists older connections of one name under their handles.
    if has_form && name.parse::<Handle>().is_err() {
        Ok(())
    } else {
        Err(ApiError::refused(
            Code::InvalidRequest,
            "name must be 1 to 64 bytes without control characters, and no handle",
        ))
    }
}

fn check(change: &Change<'_>, now_s: u64) -> Result<(), ApiError> {
    let refused = |detail: &str| Err(ApiError::refused(Code::InvalidRequest, detail));
    if !(1..=MAX_RECORD_BYTES).contains(&change.record.len()) {
        return refused("record is empty or too long");
    }
    if !(1..=MAX_RECEIPT_BYTES).contains(&change.receipt.len()) {
        return refused("receipt is empty or too long");
    }
    let server_fits = |server: &String| (1..=MAX_SERVER_BYTES).contains(&server.len());
    if change.servers.len() > MAX_POLICY_SERVERS || !change.servers.iter().all(server_fits) {
        return refused("servers are too many, or one is empty or too long");
    }
    if change.expires <= now_s || change.expires > MAX_TIME_S {
        return refused("expires must be in the future, in Unix seconds");
    }
    Ok(())
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| serde::de::Error::custom("not base64"))
}
