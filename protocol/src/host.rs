//! Host services: what the enclave asks of its parent, over HTTP/1.1 on one vsock port.
//!
//! | request | reply |
//! |---|---|
//! | `CONNECT host:port` | 200, then bytes; 403 when the address is refused; 502 when unreachable |
//! | `GET /v1/configuration` | the deployment configuration's bytes |
//! | `GET /v1/order` | [`Order`] |
//! | `POST /v1/order/outcome` | 204; a body of [`OrderOutcome`] |
//! | `GET /v1/keyset` | the sealed keyset with its `ETag`, or 404; 304 for `If-None-Match: <ETag>` |
//! | `PUT /v1/keyset` with `If-None-Match: *` | 201, or 412 when there is one |
//! | `PUT /v1/keyset` with `If-Match: <ETag>` | 204, or 412 when there is another or none |
//! | `GET /v1/records/{fingerprint}` | the record's bytes; 404; 410 when revoked |
//! | `PUT /v1/records/{fingerprint}` | 204; a body of [`Admitted`](crate::receipt::Admitted) (JSON): the same record under a newer key; 404; 409 when there is a newer one; 410 when revoked |
//! | `GET /v1/credentials` | [`RoleCredentials`] |
//! | `POST /v1/events` | 204; a body of newline-delimited JSON events |
//! | `POST /v1/receipts` | 204 once it is stored; a body of [`ReceiptBatch`](crate::audit::ReceiptBatch) (CBOR); 400 when it is not one; 409 when another stands in its place |
//!
//! The parent is not trusted with any of it: every answer is verified or measured.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The vsock port of host services on the parent.
pub const HOST_SERVICES_PORT: u32 = 5001;
/// The vsock port of ingress on the enclave.
pub const INGRESS_PORT: u32 = 5000;

/// The deployment configuration.
pub const CONFIGURATION: &str = "/v1/configuration";
/// The boot order.
pub const ORDER: &str = "/v1/order";
/// What became of an order.
pub const ORDER_OUTCOME: &str = "/v1/order/outcome";
/// The sealed keyset.
pub const KEYSET: &str = "/v1/keyset";
/// Records, by fingerprint.
pub const RECORDS: &str = "/v1/records/";
/// Credentials of the instance's role.
pub const CREDENTIALS: &str = "/v1/credentials";
/// Events.
pub const EVENTS: &str = "/v1/events";
/// Receipts of calls.
pub const RECEIPTS: &str = "/v1/receipts";

/// The `ETag` of a sealed keyset (RFC 9110 section 8.8.3): its SHA-256, hexadecimal, in quotes.
pub fn keyset_tag(keyset: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Sha256::digest(keyset)))
}

/// What the operator wants: read at boot, and again from time to time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What to do about the keyset.
    pub keyset: KeysetOrder,
}

/// What to do about the keyset. Creation and change are explicit acts, done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysetOrder {
    /// Load the one there is; refuse to serve without.
    Load,
    /// Create one, if there is none, then load it.
    Create,
    /// Make the next generation of the one there is.
    Change(KeysetChange),
}

/// The next generation of a keyset. It is always sealed under a new data key of the KMS key that
/// the deployment configuration names: with nothing to renew, this wraps the keyset anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysetChange {
    /// Names the order in its outcome: 1 to 64 letters, digits and `-`.
    pub id: String,
    /// The generation to be changed. At a later one the order has been carried out already.
    pub from_generation: u64,
    /// The kinds of key to replace. What they opened stays readable until retired.
    pub renew: BTreeSet<KeyKind>,
    /// Forget record keys that were replaced longer ago than this, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_after_s: Option<u64>,
}

/// A kind of key in a keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Keys that clients seal envelopes to.
    Recipient,
    /// The key that records are sealed under.
    Record,
    /// The key that signs receipts.
    Receipt,
}

/// What became of a [`KeysetChange`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderOutcome {
    /// [`KeysetChange::id`].
    pub id: String,
    /// Whether it was carried out.
    pub result: OrderResult,
    /// The keyset's generation now.
    pub generation: u64,
}

/// Whether an order was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderResult {
    /// The keyset has a later generation than the one to be changed.
    Done,
    /// KMS did not give a data key, or would not release it again.
    KmsRefused,
    /// The parent did not store the new generation, or stored another.
    NotStored,
    /// The keyset that there is, is not one to be changed.
    KeysetRefused,
    /// The new keys could not be made: no randomness, no document, or too many kept keys.
    NotMade,
    /// The order is malformed.
    Malformed,
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
