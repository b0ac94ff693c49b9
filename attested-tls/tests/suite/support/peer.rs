//! The other end of the stream.
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use dauth_attested_tls::Evidence;
use dauth_protocol::KeyConfiguration;
use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::{Attester, Claims, key_configuration};

/// A P-256 key and a certificate that it signed for itself.
pub(crate) struct TlsIdentity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl TlsIdentity {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::default();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The key of `self` behind the certificate of another.
    pub(crate) fn under_certificate_of(self, other: &TlsIdentity) -> Self {
        Self {
            key: self.key,
            certificate: other.certificate.clone(),
        }
    }
}

/// What a peer answers to a request for evidence.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            body,
        }
    }

    /// What an honest enclave with this TLS key answers.
    pub(crate) fn honest(attester: &Attester, tls_key: &[u8], nonce: &[u8]) -> Self {
        Self::of(attester, &key_configuration(tls_key), nonce)
    }

    /// What an enclave with these keys answers.
    pub(crate) fn of(attester: &Attester, keys: &KeyConfiguration, nonce: &[u8]) -> Self {
        let configuration = keys.to_cbor();
        let claims = Claims::now(nonce, KeyConfiguration::user_data(&configuration));
        Self::ok(Evidence::to_json(
            &attester.document(claims),
            &configuration,
        ))
    }
}

/// What a peer answers to a request.
pub(crate) trait Answer:
    Fn(&Parts, &[u8]) -> Response<Vec<u8>> + Send + Sync + 'static
{
}

impl<F: Fn(&Parts, &[u8]) -> Response<Vec<u8>> + Send + Sync + 'static> Answer for F {}

/// A peer: its TLS identity, protocols, and what it answers to a nonce.
pub(crate) struct Peer {
    pub(crate) identity: TlsIdentity,
    pub(crate) version: &'static SupportedProtocolVersion,
    pub(crate) alpn: &'static [&'static [u8]],
}

impl Peer {
    pub(crate) fn new(identity: TlsIdentity) -> Self {
        Self {
            identity,
            version: &rustls::version::TLS13,
            alpn: &[b"h2", b"http/1.1"],
        }
    }

    /// Serves one connection in memory; what is not a request for evidence is echoed.
    pub(crate) fn serve(
        self,
        evidence: impl Fn(&[u8]) -> Reply + Send + Sync + 'static,
    ) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        tokio::spawn(self.serve_on(far, move |head, body| {
            let reply = match nonce_of(head) {
                Some(nonce) => evidence(&nonce),
                None => echo(head, body),
            };
            let mut response = Response::new(reply.body);
            *response.status_mut() = reply.status;
            let nonce = HeaderValue::from_static("n1");
            response.headers_mut().insert("dpop-nonce", nonce);
            response
        }));
        near
    }

    /// Serves the requests of one connection until it ends.
    pub(crate) async fn serve_on<S>(self, stream: S, answer: impl Answer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(self.tls()));
        let Ok(tls) = acceptor.accept(stream).await else {
            return;
        };
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let answer = Arc::new(answer);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = Arc::clone(&answer);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let response = answer(&head, &body);
                Ok::<_, hyper::Error>(response.map(|body| Full::new(Bytes::from(body))))
            }
        });
        let io = TokioIo::new(tls);
        // How the connection ends is the client's to see.
        if is_http2 {
            let server = http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(io, service).await;
        } else {
            let _ = http1::Builder::new().serve_connection(io, service).await;
        }
    }

    pub(crate) fn tls(self) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let der = PrivateKeyDer::try_from(self.identity.key.serialize_der()).unwrap();
        let key = provider.key_provider.load_private_key(der).unwrap();
        let certified = CertifiedKey::new(vec![self.identity.certificate], key);
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// The nonce, when evidence is asked for.
pub(crate) fn nonce_of(head: &Parts) -> Option<Vec<u8>> {
    let is_evidence = head.uri.path() == "/.well-known/dauth/evidence";
    let nonce = head.uri.query().unwrap_or_default();
    let nonce = nonce.strip_prefix("nonce=").unwrap_or_default();
    is_evidence.then(|| URL_SAFE_NO_PAD.decode(nonce).unwrap())
}

/// The request's first line, as this peer saw it, and its body.
fn echo(head: &Parts, body: &[u8]) -> Reply {
    let line = format!("{:?} {} {} ", head.version, head.method, head.uri);
    Reply::ok([line.as_bytes(), body].concat())
}
