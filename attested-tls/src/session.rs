//! HTTP over an attested session.
mod kept_body;

use bytes::Bytes;
use dauth_attestation::AttestationResult;
use dauth_protocol::KeyConfiguration;
use http::{HeaderMap, Request, Response, Uri, header::HOST, uri};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use tokio::sync::Mutex;

use crate::{EndorsedKeys, SendError};
use kept_body::KeptBody;

/// The error of a request body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request on a session.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Any body as a [`Body`].
pub fn body<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// An authenticated session with an attested enclave. Made by [`crate::connect()`] alone.
///
/// Requests go over the one connection whose key the evidence names. Over HTTP/2 they run at the
/// same time; over HTTP/1.1 each waits for the reply before it to end.
pub struct Session {
    sender: Sender,
    keys: EndorsedKeys,
    evidence_headers: HeaderMap,
    authority: uri::Authority,
}

pub(crate) enum Sender {
    Http2(http2::SendRequest<KeptBody>),
    Http1(Mutex<http1::SendRequest<KeptBody>>),
}

impl Session {
    pub(crate) fn new(
        sender: Sender,
        keys: EndorsedKeys,
        evidence_headers: HeaderMap,
        authority: uri::Authority,
    ) -> Self {
        Self {
            sender,
            keys,
            evidence_headers,
            authority,
        }
    }

    /// Sends a request whose URI is a path and a query; the path goes out byte for byte.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, SendError>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.sender.send(request.map(body), &self.authority).await
    }

    /// Whether the connection is gone, so that no further request can succeed.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http2(sender) => sender.is_closed(),
            // While another task holds it, it is in use.
            Sender::Http1(sender) => sender.try_lock().is_ok_and(|sender| sender.is_closed()),
        }
    }

    /// The keys that the evidence endorses.
    pub fn keys(&self) -> &EndorsedKeys {
        &self.keys
    }

    /// What the attestation document says.
    pub fn attestation_result(&self) -> &AttestationResult {
        self.keys.attestation_result()
    }

    /// The enclave's keys.
    pub fn key_configuration(&self) -> &KeyConfiguration {
        self.keys.key_configuration()
    }

    /// The key configuration as it was hashed.
    pub fn key_configuration_bytes(&self) -> &[u8] {
        self.keys.key_configuration_bytes()
    }

    /// The attestation document as it was received.
    pub fn document(&self) -> &[u8] {
        self.keys.document()
    }

    /// SubjectPublicKeyInfo (DER) of the peer's key: the attested one.
    pub fn peer_spki(&self) -> &[u8] {
        &self.keys.key_configuration().tls_key
    }

    /// The header fields of the evidence reply; `DPoP-Nonce` is among them.
    pub fn evidence_headers(&self) -> &HeaderMap {
        &self.evidence_headers
    }
}

impl Sender {
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        authority: &uri::Authority,
    ) -> Result<Response<Incoming>, SendError> {
        address(&mut request, authority, self);
        let (head, body) = request.into_parts();
        let (body, keeper) = KeptBody::new(body);
        let request = Request::from_parts(head, body);
        let sent = match self {
            // RFC 9113 section 8.3.1: scheme and authority stand in pseudo-headers.
            Sender::Http2(sender) => sender.clone().try_send_request(request).await,
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                if let Err(source) = sender.ready().await {
                    let unsent = keeper.take_back();
                    return Err(SendError { source, unsent });
                }
                sender.try_send_request(request).await
            }
        };
        match sent {
            Ok(response) => {
                keeper.let_go();
                Ok(response)
            }
            Err(mut error) => {
                let is_unsent = error.take_message().is_some() || is_unprocessed(error.error());
                Err(SendError {
                    unsent: is_unsent.then(|| keeper.take_back()).flatten(),
                    source: error.into_error(),
                })
            }
        }
    }
}

/// Whether the peer said that it has not processed the request (RFC 9113 section 8.7): it refused
/// the stream, or it goes away and the stream is above the last one that it takes.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (is_refused || error.is_go_away())
    })
}

/// Fills in what the version's framing needs beside path and query. The enclave ignores the name.
fn address(request: &mut Request<Body>, authority: &uri::Authority, sender: &Sender) {
    match sender {
        Sender::Http2(_) => {
            let mut parts = uri::Parts::default();
            parts.scheme = Some(uri::Scheme::HTTPS);
            parts.authority = Some(authority.clone());
            parts.path_and_query = Some(path_and_query(request.uri()));
            if let Ok(absolute) = Uri::from_parts(parts) {
                *request.uri_mut() = absolute;
            }
        }
        Sender::Http1(_) => {
            *request.uri_mut() = Uri::from(path_and_query(request.uri()));
            if let Ok(value) = authority.as_str().parse() {
                request.headers_mut().insert(HOST, value);
            }
        }
    }
}

fn path_and_query(uri: &Uri) -> uri::PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| uri::PathAndQuery::from_static("/"))
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("audience", &self.key_configuration().audience)
            .finish_non_exhaustive()
    }
}
