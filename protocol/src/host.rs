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
//! | `POST /v1/metrics` | 204; a body of [`EnclaveMetrics`] (JSON), every few seconds |
//! | `GET /v1/shutdown` | nothing while the enclave is to serve; 204 when it is to stop |
//!
//! `GET /v1/shutdown` is asked for once the enclave accepts streams, and asked again when its stream
//! breaks or anything but 204 is answered. So the parent sees at once that an enclave is ready, or gone.
//!
//! The parent is not trusted with any of it: every answer is verified or measured.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::Code;

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
/// What the enclave counts.
pub const METRICS: &str = "/v1/metrics";
/// Whether the enclave is to stop.
pub const SHUTDOWN: &str = "/v1/shutdown";

/// The longest [`EnclaveMetrics`] in its JSON form.
pub const MAX_METRICS_BYTES: usize = 16 * 1024;

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

/// What an enclave counts, since its boot where it is not said otherwise.
///
/// While an image is replaced by another, one parent hears both: fields that it does not know are
/// passed over, and those that are not there are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnclaveMetrics {
    /// Seconds since it began to serve.
    pub uptime_s: u64,
    /// Calls that were answered by their upstream.
    pub calls_answered: u64,
    /// Requests that were refused, calls or others, by their code.
    #[serde(deserialize_with = "known_codes")]
    pub refused: BTreeMap<Code, u64>,
    /// Credentials that were admitted.
    pub admitted: u64,
    /// Calls that are in progress now.
    pub calls_in_progress: u64,
    /// Connections of callers that are open now.
    pub open_connections: u64,
    /// Connections that were closed at once, for there was no room for one more.
    pub connections_refused: u64,
    /// Receipts that wait now for the parent to take them.
    pub receipts_waiting: u64,
    /// Receipts that were lost, because the parent did not take those before them.
    pub receipts_lost: u64,
    /// Events that were lost, because the parent did not read.
    pub events_lost: u64,
    /// Memory that the process has now.
    pub resident_bytes: u64,
}

/// The counts of codes that this build knows.
fn known_codes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Code, u64>, D::Error> {
    let counts = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let known = counts
        .into_iter()
        .filter_map(|(code, count)| Some((Code::from_header(&code)?, count)));
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_as_they_were_sent_and_fit_their_bound() {
        let sent = EnclaveMetrics {
            uptime_s: u64::MAX,
            calls_answered: u64::MAX,
            refused: Code::ALL.into_iter().map(|code| (code, u64::MAX)).collect(),
            admitted: u64::MAX,
            calls_in_progress: u64::MAX,
            open_connections: u64::MAX,
            connections_refused: u64::MAX,
            receipts_waiting: u64::MAX,
            receipts_lost: u64::MAX,
            events_lost: u64::MAX,
            resident_bytes: u64::MAX,
        };
        let json = serde_json::to_vec(&sent).unwrap();
        assert!(json.len() <= MAX_METRICS_BYTES);
        let read: EnclaveMetrics = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, sent);
    }

    #[test]
    fn metrics_of_another_build_are_read_as_far_as_they_are_known() {
        let json = r#"{"calls_answered":7,"refused":{"POLICY_DENIED":2,"OF_TOMORROW":3},"more":1}"#;
        let read: EnclaveMetrics = serde_json::from_str(json).unwrap();
        let known = EnclaveMetrics {
            calls_answered: 7,
            refused: BTreeMap::from([(Code::PolicyDenied, 2)]),
            ..EnclaveMetrics::default()
        };
        assert_eq!(read, known);
        for malformed in [r#"{"calls_answered":-1}"#, r#"{"refused":[]}"#, "[7"] {
            assert!(serde_json::from_str::<EnclaveMetrics>(malformed).is_err());
        }
    }
}
