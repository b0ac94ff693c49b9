//! A call without DAuth: HTTP/1.1 over one TLS session that is kept.
use std::{error::Error, sync::Arc};

use bytes::Bytes;
use dauth_tests::StackFile;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stack::SECRET;

/// A connection to an upstream, or to what stands in front of one.
pub(super) struct Direct {
    sender: SendRequest<Empty<Bytes>>,
}

impl Direct {
    /// Connects to `base_url`, an address by number, under the authority of the stack's upstreams.
    pub(super) async fn open(stack: &StackFile, base_url: &str) -> Result<Self, Box<dyn Error>> {
        let address = base_url.trim_start_matches("https://");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&stack.ca.cert)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// The head of the reply to a request with the secret, its body still on the way.
    pub(super) async fn send(&mut self, path: &str) -> Result<Response<Incoming>, Box<dyn Error>> {
        self.sender.ready().await?;
        let request = Request::get(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {SECRET}"))
            .body(Empty::new())?;
        Ok(self.sender.send_request(request).await?)
    }

    /// The whole body of the reply.
    pub(super) async fn call(&mut self, path: &str) -> Result<Bytes, Box<dyn Error>> {
        let response = self.send(path).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}
