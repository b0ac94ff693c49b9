//! Host services: what the enclave asks of its parent (`dauth_protocol::host`).
//!
//! The parent is hostile. Nothing that it answers is believed here: lengths are bounded, and each
//! caller verifies or measures what it gets.
mod answer;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{Fingerprint, host, limit};
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

pub use answer::{
    EgressError, HostError, KeysetNews, PutKeyset, PutReceipts, PutRecord, ReceiptsRefusal,
    RecordError,
};

use crate::platform::{BoxStream, Transport};

/// Time that the parent has to answer anything but `CONNECT`.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that the parent has to reach an upstream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The parent's short JSON replies.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// The parent's services. Each request has a stream of its own.
#[derive(Clone)]
pub struct HostServices {
    transport: Arc<dyn Transport>,
}

impl HostServices {
    /// Host services over `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// A byte stream to `target` (`host:port`, brackets around an IPv6 address).
    pub async fn connect(&self, target: &str) -> Result<BoxStream, EgressError> {
        let request = Request::connect(target)
            .header(header::HOST, target)
            .body(Full::default())
            .map_err(|_| EgressError::Unreachable)?;
        timeout(CONNECT_TIMEOUT, self.tunnel(request))
            .await
            .map_err(|_| EgressError::TimedOut)?
    }

    async fn tunnel(&self, request: Request<Full<Bytes>>) -> Result<BoxStream, EgressError> {
        let response = self.send(request).await;
        let response = response.map_err(|_| EgressError::HostUnavailable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(EgressError::Refused),
            StatusCode::GATEWAY_TIMEOUT => return Err(EgressError::TimedOut),
            StatusCode::BAD_GATEWAY => return Err(EgressError::Unreachable),
            _ => return Err(EgressError::HostUnavailable),
        }
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|_| EgressError::HostUnavailable)?;
        Ok(Box::new(TokioIo::new(upgraded)))
    }

    /// The deployment configuration's bytes, still to be measured.
    pub async fn configuration(&self) -> Result<Vec<u8>, HostError> {
        let (status, body) = self
            .get(host::CONFIGURATION, limit::MAX_CONFIGURATION_BYTES)
            .await?;
        expect(status, StatusCode::OK).map(|()| body)
    }

    /// What the operator wants of this boot.
    pub async fn order(&self) -> Result<host::Order, HostError> {
        self.json(host::ORDER).await
    }

    /// The sealed keyset, if there is one.
    pub async fn keyset(&self) -> Result<Option<Vec<u8>>, HostError> {
        match self.get(host::KEYSET, limit::MAX_KEYSET_BYTES).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => expect(status, StatusCode::OK).map(|()| Some(body)),
        }
    }

    /// The sealed keyset, unless it has this tag ([`host::keyset_tag`]).
    pub async fn keyset_unless(&self, tag: &str) -> Result<KeysetNews, HostError> {
        let request = request(Method::GET, host::KEYSET)
            .header(header::IF_NONE_MATCH, tag)
            .body(Full::default())
            .map_err(|_| HostError::Malformed)?;
        match self.exchange(request, limit::MAX_KEYSET_BYTES).await? {
            (StatusCode::NOT_MODIFIED, _) => Ok(KeysetNews::Same),
            (StatusCode::NOT_FOUND, _) => Ok(KeysetNews::Missing),
            (status, body) => {
                expect(status, StatusCode::OK)?;
                // The bytes decide, whatever condition the parent ignores.
                if host::keyset_tag(&body) == tag {
                    Ok(KeysetNews::Same)
                } else {
                    Ok(KeysetNews::Other(body))
                }
            }
        }
    }

    /// Stores a sealed keyset where there is none.
    pub async fn put_keyset(&self, keyset: &[u8]) -> Result<PutKeyset, HostError> {
        let condition = (header::IF_NONE_MATCH, "*");
        self.put(keyset, condition, StatusCode::CREATED).await
    }

    /// Stores a sealed keyset in the place of the one with this tag ([`host::keyset_tag`]).
    pub async fn replace_keyset(&self, keyset: &[u8], tag: &str) -> Result<PutKeyset, HostError> {
        let condition = (header::IF_MATCH, tag);
        self.put(keyset, condition, StatusCode::NO_CONTENT).await
    }

    async fn put(
        &self,
        keyset: &[u8],
        (condition, tag): (HeaderName, &str),
        stored: StatusCode,
    ) -> Result<PutKeyset, HostError> {
        let request = request(Method::PUT, host::KEYSET)
            .header(condition, tag)
            .body(Full::new(Bytes::copy_from_slice(keyset)))
            .map_err(|_| HostError::Malformed)?;
        match self.exchange(request, MAX_JSON_BYTES).await? {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(PutKeyset::OtherStands),
            (status, _) => expect(status, stored).map(|()| PutKeyset::Stored),
        }
    }

    /// Says what became of an order.
    pub async fn outcome(&self, outcome: &host::OrderOutcome) -> Result<(), HostError> {
        let body = serde_json::to_vec(outcome).map_err(|_| HostError::Malformed)?;
        let request = request(Method::POST, host::ORDER_OUTCOME)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| HostError::Malformed)?;
        let (status, _) = self.exchange(request, MAX_JSON_BYTES).await?;
        expect(status, StatusCode::NO_CONTENT)
    }

    /// The record of a fingerprint; its hash is still to be checked.
    pub async fn record(&self, fingerprint: &Fingerprint) -> Result<Vec<u8>, RecordError> {
        let path = format!("{}{fingerprint}", host::RECORDS);
        match self.get(&path, limit::MAX_RECORD_BYTES).await {
            Ok((StatusCode::OK, body)) => Ok(body),
            Ok((StatusCode::NOT_FOUND, _)) => Err(RecordError::NotFound),
            Ok((StatusCode::GONE, _)) => Err(RecordError::Revoked),
            Ok(_) | Err(_) => Err(RecordError::Unavailable),
        }
    }

    /// Stores the record of a fingerprint under a newer key: `admitted` is the JSON of
    /// [`Admitted`](dauth_protocol::receipt::Admitted).
    pub async fn put_record(
        &self,
        fingerprint: &Fingerprint,
        admitted: Bytes,
    ) -> Result<PutRecord, HostError> {
        let request = request(Method::PUT, &format!("{}{fingerprint}", host::RECORDS))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(admitted))
            .map_err(|_| HostError::Malformed)?;
        match self.exchange(request, MAX_JSON_BYTES).await? {
            (StatusCode::NO_CONTENT, _) => Ok(PutRecord::Stored),
            (StatusCode::CONFLICT, _) => Ok(PutRecord::Superseded),
            (StatusCode::NOT_FOUND, _) => Ok(PutRecord::NotFound),
            (StatusCode::GONE, _) => Ok(PutRecord::Revoked),
            (status, _) => Err(HostError::Status(status.as_u16())),
        }
    }

    /// Credentials of the instance's role. They go into requests that KMS checks, nowhere else.
    pub async fn credentials(&self) -> Result<host::RoleCredentials, HostError> {
        self.json(host::CREDENTIALS).await
    }

    /// Hands over a batch of events: newline-delimited JSON.
    pub async fn events(&self, lines: Vec<u8>) -> Result<(), HostError> {
        let request = request(Method::POST, host::EVENTS)
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(Bytes::from(lines)))
            .map_err(|_| HostError::Malformed)?;
        let (status, _) = self.exchange(request, MAX_JSON_BYTES).await?;
        expect(status, StatusCode::NO_CONTENT)
    }

    /// Tells what the enclave counts.
    pub async fn metrics(&self, metrics: &host::EnclaveMetrics) -> Result<(), HostError> {
        let body = serde_json::to_vec(metrics).map_err(|_| HostError::Malformed)?;
        let request = request(Method::POST, host::METRICS)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| HostError::Malformed)?;
        let (status, _) = self.exchange(request, MAX_JSON_BYTES).await?;
        expect(status, StatusCode::NO_CONTENT)
    }

    /// Hands over a batch of receipts: the CBOR of
    /// [`ReceiptBatch`](dauth_protocol::audit::ReceiptBatch).
    pub async fn receipts(&self, batch: Bytes) -> Result<PutReceipts, HostError> {
        let request = request(Method::POST, host::RECEIPTS)
            .header(header::CONTENT_TYPE, "application/cbor")
            .body(Full::new(batch))
            .map_err(|_| HostError::Malformed)?;
        match self.exchange(request, MAX_JSON_BYTES).await? {
            (StatusCode::NO_CONTENT, _) => Ok(PutReceipts::Stored),
            (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, _) => {
                Ok(PutReceipts::Refused(ReceiptsRefusal::Malformed))
            }
            (StatusCode::CONFLICT, _) => Ok(PutReceipts::Refused(ReceiptsRefusal::OtherStands)),
            (status, _) => Err(HostError::Status(status.as_u16())),
        }
    }

    /// Resolves when the parent says that the enclave is to stop, however long that takes; fails
    /// where it does not hold the request open.
    pub async fn until_shutdown(&self) -> Result<(), HostError> {
        let request = request(Method::GET, host::SHUTDOWN)
            .body(Full::default())
            .map_err(|_| HostError::Malformed)?;
        let response = self.send(request).await?;
        expect(response.status(), StatusCode::NO_CONTENT)
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, HostError> {
        let (status, body) = self.get(path, MAX_JSON_BYTES).await?;
        expect(status, StatusCode::OK)?;
        serde_json::from_slice(&body).map_err(|_| HostError::Malformed)
    }

    async fn get(&self, path: &str, max: usize) -> Result<(StatusCode, Vec<u8>), HostError> {
        let request = request(Method::GET, path)
            .body(Full::default())
            .map_err(|_| HostError::Malformed)?;
        self.exchange(request, max).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        max: usize,
    ) -> Result<(StatusCode, Vec<u8>), HostError> {
        timeout(REPLY_TIMEOUT, async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), max)
                .collect()
                .await
                .map_err(|_| HostError::TooLong)?;
            Ok((status, body.to_bytes().to_vec()))
        })
        .await
        .map_err(|_| HostError::Unavailable)?
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HostError> {
        let stream = self
            .transport
            .connect_host()
            .await
            .map_err(|_| HostError::Unavailable)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(limit::MAX_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| HostError::Unavailable)?;
        // The connection ends with its one exchange, or lives on as the upgraded stream.
        tokio::spawn(connection.with_upgrades());
        sender
            .send_request(request)
            .await
            .map_err(|_| HostError::Unavailable)
    }
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "parent")
}

fn expect(status: StatusCode, expected: StatusCode) -> Result<(), HostError> {
    if status == expected {
        Ok(())
    } else {
        Err(HostError::Status(status.as_u16()))
    }
}

#[cfg(test)]
mod tests;
