//! An HTTPS API that a test scripts, with a certificate of the simulation's authority.
use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use dauth_simulator::ca::Authority;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::StackFile;

/// What the upstream was sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A running upstream. It stops with the runtime of its test.
pub struct Upstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// Serves `handler` on loopback, with a certificate for 127.0.0.1, `localhost` and `names` by
    /// the authority that the simulated enclave trusts.
    pub async fn start<F, R, B>(stack: &StackFile, names: &[&str], handler: F) -> Self
    where
        F: Fn(Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        Self::start_with_authority(&authority(stack), names, handler).await
    }

    /// The same over IPv6 alone, at `[::1]`, with a certificate for that address and `names`.
    pub async fn start_ipv6<F, R, B>(stack: &StackFile, names: &[&str], handler: F) -> Self
    where
        F: Fn(Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        let acceptor = tls_acceptor(&authority(stack), &[&["::1"][..], names].concat());
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        Self::serve(listener, acceptor, handler)
    }

    /// The same, with a certificate of any authority.
    pub async fn start_with_authority<F, R, B>(
        authority: &Authority,
        names: &[&str],
        handler: F,
    ) -> Self
    where
        F: Fn(Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        let names = [&["127.0.0.1", "localhost"][..], names].concat();
        let acceptor = tls_acceptor(authority, &names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, acceptor, handler)
    }

    fn serve<F, R, B>(listener: TcpListener, acceptor: TlsAcceptor, handler: F) -> Self
    where
        F: Fn(Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        let address = listener.local_addr().unwrap();
        let requests = Arc::default();
        let seen = Arc::clone(&requests);
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                let handler = handler.clone();
                let seen = Arc::clone(&seen);
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // What is written leaves at once.
                    stream.set_nodelay(true).unwrap();
                    // A client that refuses the certificate ends here.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let service = service_fn(move |request| {
                        answer(request, handler.clone(), Arc::clone(&seen))
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            requests,
            open,
        }
    }

    /// Its address as a base URL by number.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its address as a base URL by name.
    pub fn base_url_as(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }

    /// How many connections to it are open now.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// What it was sent so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer<F, R, B>(
    request: hyper::Request<Incoming>,
    handler: F,
    seen: Arc<Mutex<Vec<Request>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible>
where
    F: Fn(Request) -> R,
    R: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
{
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let request = Request {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    seen.lock().unwrap().push(request.clone());
    Ok(handler(request).await.map(BodyExt::boxed))
}

/// The authority that the simulated enclave trusts for upstreams.
fn authority(stack: &StackFile) -> Authority {
    Authority::from_pem(
        dauth_simulator::UPSTREAM_CA_NAME,
        fs::read_to_string(&stack.ca.cert).unwrap(),
        fs::read_to_string(&stack.ca.key).unwrap(),
    )
}

/// Ends TLS with a certificate by `authority` for `names`.
pub fn tls_acceptor(authority: &Authority, names: &[&str]) -> TlsAcceptor {
    let identity = authority.issue(names).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(configuration))
}
