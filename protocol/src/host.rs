//! Host services: what the enclave asks of its parent, over HTTP/1.1 on one vsock port.
//!
//! | request | reply |
//! |---|---|
//! | `CONNECT host:port` | 200, then bytes; 403 when the address is refused; 502 when unreachable |
//! | `GET /v1/configuration` | the deployment configuration's bytes |
//! | `GET /v1/order` | [`Order`] |
//! | `GET /v1/keyset` | the sealed keyset, or 404 |
//! | `PUT /v1/keyset` with `If-None-Match: *` | 201, or 412 when there is one |
//! | `GET /v1/records/{fingerprint}` | the record's bytes; 404; 410 when revoked |
//! | `GET /v1/credentials` | [`RoleCredentials`] |
//! | `POST /v1/events` | 204; a body of newline-delimited JSON events |
//!
//! The parent is not trusted with any of it: every answer is verified or measured.
use serde::{Deserialize, Serialize};

/// The vsock port of host services on the parent.
pub const HOST_SERVICES_PORT: u32 = 5001;
/// The vsock port of ingress on the enclave.
pub const INGRESS_PORT: u32 = 5000;

/// The deployment configuration.
pub const CONFIGURATION: &str = "/v1/configuration";
/// The boot order.
pub const ORDER: &str = "/v1/order";
/// The sealed keyset.
pub const KEYSET: &str = "/v1/keyset";
/// Records, by fingerprint.
pub const RECORDS: &str = "/v1/records/";
/// Credentials of the instance's role.
pub const CREDENTIALS: &str = "/v1/credentials";
/// Events.
pub const EVENTS: &str = "/v1/events";

/// What the operator wants of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What to do about the keyset.
    pub keyset: KeysetOrder,
}

/// What to do about the keyset. Creation is an explicit, one-time act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysetOrder {
    /// Load the one there is; refuse to serve without.
    Load,
    /// Create one, if there is none, then load it.
    Create,
}

/// Temporary credentials of an AWS role, as IMDSv2 returns them. A bearer secret: no Debug.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleCredentials {
    /// Identifies the key.
    pub access_key_id: String,
    /// Signs requests.
    pub secret_access_key: String,
    /// Sent as `X-Amz-Security-Token`; empty for a long-lived key.
    #[serde(rename = "Token", default)]
    pub session_token: String,
    /// RFC 3339.
    pub expiration: String,
}
