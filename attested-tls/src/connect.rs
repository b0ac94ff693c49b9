//! From a byte stream to a session.
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use dauth_protocol::limit::{MAX_HEADER_BYTES, MAX_HEADER_COUNT};
use http::{HeaderMap, Request, StatusCode, uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{IpAddr, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    ConnectError, Evidence, Expectations, MAX_EVIDENCE_BYTES, Session, body,
    danger::{spki_of, unauthenticated_config},
    session::Sender,
};

/// Where an enclave presents evidence.
const EVIDENCE_PATH: &str = "/.well-known/dauth/evidence";

/// Time for handshake and evidence together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// HTTP/2 pings find a session whose other end has vanished.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a session with the enclave at the other end of `stream`.
///
/// `now_ms` is the verifier's time in Unix milliseconds; `nonce` must be fresh and random, for it
/// alone keeps old evidence from being shown again.
pub async fn connect<S>(
    stream: S,
    expectations: &Expectations,
    now_ms: u64,
    nonce: [u8; 32],
) -> Result<Session, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let attempt = Box::pin(attempt(stream, expectations, now_ms, nonce));
    tokio::time::timeout(CONNECT_TIMEOUT, attempt)
        .await
        .unwrap_or(Err(ConnectError::TimedOut))
}

async fn attempt<S>(
    stream: S,
    expectations: &Expectations,
    now_ms: u64,
    nonce: [u8; 32],
) -> Result<Session, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (tls, peer_spki) = handshake(stream).await?;
    let sender = speak_http(tls).await?;
    let authority = authority_of(&expectations.audience);
    let (evidence_headers, json) = fetch(&sender, &authority, &nonce).await?;
    let keys = Evidence::from_json(&json)?.appraise(expectations, &nonce, now_ms)?;
    if keys.key_configuration().tls_key != peer_spki {
        return Err(ConnectError::OtherTlsKey);
    }
    let keysets = &expectations.keysets;
    keysets
        .note(keys.key_configuration())
        .await
        .map_err(ConnectError::Evidence)?;
    Ok(Session::new(sender, keys, evidence_headers, authority))
}

async fn handshake<S>(stream: S) -> Result<(TlsStream<S>, Vec<u8>), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = unauthenticated_config().map_err(ConnectError::Configuration)?;
    // rustls wants a name; none is sent and none is compared.
    let no_name = ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
    let tls = TlsConnector::from(Arc::new(config))
        .connect(no_name, stream)
        .await
        .map_err(ConnectError::Handshake)?;
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let spki = certificates.first().and_then(spki_of);
    Ok((tls, spki.ok_or(ConnectError::PeerKey)?))
}

async fn speak_http<S>(tls: TlsStream<S>) -> Result<Sender, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(tls);
    // Each connection task ends when its sender is dropped or the peer goes away; whoever waits
    // for a reply then learns of the error, so it is not needed here.
    if is_http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .handshake(io)
            .await?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADER_COUNT)
            .max_header_size(MAX_HEADER_BYTES)
            .handshake(io)
            .await?;
        tokio::spawn(connection);
        Ok(Sender::Http1(Mutex::new(sender)))
    }
}

async fn fetch(
    sender: &Sender,
    authority: &uri::Authority,
    nonce: &[u8],
) -> Result<(HeaderMap, Bytes), ConnectError> {
    let mut request = Request::new(body(Empty::new()));
    let path = format!("{EVIDENCE_PATH}?nonce={}", URL_SAFE_NO_PAD.encode(nonce));
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    let response = sender
        .send(request, authority)
        .await
        .map_err(|error| error.source)?;
    let (head, incoming) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(ConnectError::EvidenceStatus(head.status));
    }
    match Limited::new(incoming, MAX_EVIDENCE_BYTES).collect().await {
        Ok(whole) => Ok((head.headers, whole.to_bytes())),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(ConnectError::Http(*error)),
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>());
                Err(ConnectError::EvidenceTooLong(MAX_EVIDENCE_BYTES))
            }
        },
    }
}

/// The authority of the audience's URI. The enclave ignores it; HTTP wants one.
fn authority_of(audience: &str) -> uri::Authority {
    audience
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.into_parts().authority)
        .unwrap_or_else(|| uri::Authority::from_static("enclave.invalid"))
}
