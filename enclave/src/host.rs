//! Host services: what the enclave asks of its parent (`dauth_protocol::host`).
//!
//! The parent is hostile. Nothing that it answers is believed here: lengths are bounded, and each
//! caller verifies or measures what it gets.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_protocol::{Fingerprint, host, limit};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

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

/// Why the parent did not give what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No stream, no HTTP, or no answer in time.
    #[error("the parent's host services do not answer")]
    Unavailable,
    /// An answer longer than its bound.
    #[error("the parent's answer is too long")]
    TooLong,
    /// A status that the request does not have.
    #[error("the parent answered with an unexpected status {0}")]
    Status(u16),
    /// JSON of another shape.
    #[error("the parent's answer is malformed")]
    Malformed,
}

/// Why there is no byte stream to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The parent refuses the destination's address.
    #[error("the parent refuses the destination's address")]
    Refused,
    /// The destination does not resolve or does not accept.
    #[error("the destination cannot be reached")]
    Unreachable,
    /// The destination did not accept in time.
    #[error("the destination did not accept in time")]
    TimedOut,
    /// The parent does not answer.
    #[error("the parent's host services do not answer")]
    HostUnavailable,
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The vault has none with this fingerprint.
    #[error("no record with this fingerprint")]
    NotFound,
    /// Its owner revoked it.
    #[error("the record is revoked")]
    Revoked,
    /// The parent or the vault does not answer.
    #[error("records are not available")]
    Unavailable,
}

/// What became of a keyset that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutKeyset {
    /// It is stored.
    Stored,
    /// There was one already; it stays.
    AlreadyThere,
}

/// What became of a record that was sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutRecord {
    /// It is stored beside the one that it replaces.
    Stored,
    /// Another has replaced that one already.
    Superseded,
    /// The vault has none with that fingerprint.
    NotFound,
    /// Its owner revoked it.
    Revoked,
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
        let response = timeout(CONNECT_TIMEOUT, self.send(request))
            .await
            .map_err(|_| EgressError::TimedOut)?
            .map_err(|_| EgressError::HostUnavailable)?;
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

    /// Stores a sealed keyset where there is none.
    pub async fn put_keyset(&self, keyset: &[u8]) -> Result<PutKeyset, HostError> {
        let request = request(Method::PUT, host::KEYSET)
            .header(header::IF_NONE_MATCH, "*")
            .body(Full::new(Bytes::copy_from_slice(keyset)))
            .map_err(|_| HostError::Malformed)?;
        match self.exchange(request, MAX_JSON_BYTES).await? {
            (StatusCode::CREATED, _) => Ok(PutKeyset::Stored),
            (StatusCode::PRECONDITION_FAILED, _) => Ok(PutKeyset::AlreadyThere),
            (status, _) => Err(HostError::Status(status.as_u16())),
        }
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
mod tests {
    use std::io;

    use hyper::{server::conn::http1 as server, service::service_fn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::platform::BoxFuture;

    type Handler = fn(Request<Incoming>) -> Response<Full<Bytes>>;

    /// A parent that answers every request by one function.
    struct Parent(Handler);

    impl Transport for Parent {
        fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(std::future::pending())
        }

        fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
            let (near, far) = duplex(1 << 16);
            tokio::spawn(serve(far, self.0));
            Box::pin(async { Ok(Box::new(near) as BoxStream) })
        }
    }

    async fn serve(stream: DuplexStream, handler: Handler) {
        let service = service_fn(move |mut request: Request<Incoming>| async move {
            if request.method() == Method::CONNECT && request.uri() == "echo.example:443" {
                tokio::spawn(async move {
                    let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                    let mut stream = TokioIo::new(upgraded);
                    let mut bytes = [0; 4];
                    stream.read_exact(&mut bytes).await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                });
                return Ok::<_, std::convert::Infallible>(Response::new(Full::default()));
            }
            Ok(handler(request))
        });
        let _ = server::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
    }

    fn host(handler: Handler) -> HostServices {
        HostServices::new(Arc::new(Parent(handler)))
    }

    fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
        Response::builder()
            .status(status)
            .body(Full::new(body.into()))
            .unwrap()
    }

    #[tokio::test]
    async fn connect_gives_the_bytes_of_the_destination() {
        let host = host(|_| reply(500, ""));
        let mut stream = host.connect("echo.example:443").await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
    }

    #[tokio::test]
    async fn connect_tells_refused_from_unreachable() {
        let cases: [(Handler, EgressError); 4] = [
            (|_| reply(403, ""), EgressError::Refused),
            (|_| reply(502, ""), EgressError::Unreachable),
            (|_| reply(504, ""), EgressError::TimedOut),
            (|_| reply(500, ""), EgressError::HostUnavailable),
        ];
        for (handler, error) in cases {
            assert_eq!(
                host(handler).connect("a.example:443").await.err(),
                Some(error)
            );
        }
    }

    #[tokio::test]
    async fn an_endless_answer_is_refused() {
        let host = host(|_| reply(200, vec![b' '; limit::MAX_KEYSET_BYTES + 1]));
        assert_eq!(host.keyset().await, Err(HostError::TooLong));
        assert_eq!(host.order().await, Err(HostError::TooLong));
    }

    #[tokio::test]
    async fn statuses_have_one_meaning_each() {
        assert_eq!(host(|_| reply(404, "")).keyset().await, Ok(None));
        assert_eq!(
            host(|_| reply(412, "")).put_keyset(b"k").await,
            Ok(PutKeyset::AlreadyThere)
        );
        assert_eq!(
            host(|_| reply(204, "")).configuration().await,
            Err(HostError::Status(204))
        );
        let fingerprint = Fingerprint::of(b"record");
        assert_eq!(
            host(|_| reply(410, "")).record(&fingerprint).await,
            Err(RecordError::Revoked)
        );
        assert_eq!(
            host(|_| reply(404, "")).record(&fingerprint).await,
            Err(RecordError::NotFound)
        );
        assert_eq!(
            host(|_| reply(200, "{}")).order().await,
            Err(HostError::Malformed)
        );
    }
}
