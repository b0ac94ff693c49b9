//! A parent that relays to loopback, gives credentials, and notes what it is asked for.
use std::{
    convert::Infallible,
    io, mem,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dauth_enclave::platform::{BoxFuture, BoxStream, Transport};
use dauth_protocol::host::CREDENTIALS;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    net::TcpStream,
};

/// Its state is shared by its clones.
#[derive(Clone)]
pub(super) struct Parent {
    log: Arc<Mutex<Vec<String>>>,
    role: Arc<Mutex<RoleState>>,
}

/// The role's credentials: another access key each time that they are renewed.
struct RoleState {
    renewals: u32,
    expiration: String,
}

impl Parent {
    pub(super) fn new() -> Self {
        Self {
            log: Arc::default(),
            role: Arc::new(Mutex::new(RoleState {
                renewals: 0,
                expiration: "2100-01-01T00:00:00Z".to_owned(),
            })),
        }
    }

    /// What it was asked for since it was last told.
    pub(super) fn take_log(&self) -> Vec<String> {
        mem::take(&mut *self.log.lock().unwrap())
    }

    pub(super) fn renew_credentials(&self) {
        self.role.lock().unwrap().renewals += 1;
    }

    pub(super) fn let_credentials_end_at(&self, expiration: &str) {
        self.role.lock().unwrap().expiration = expiration.to_owned();
    }

    fn credentials(&self) -> Bytes {
        let role = self.role.lock().unwrap();
        let credentials = json!({
            "AccessKeyId": format!("AKIA{}", role.renewals),
            "SecretAccessKey": "a secret access key",
            "Token": "a session token",
            "Expiration": role.expiration,
        });
        credentials.to_string().into()
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let line = format!("{} {}", request.method(), request.uri());
        self.log.lock().unwrap().push(line);
        if request.method() == Method::CONNECT {
            let destination = request.uri().to_string();
            let mut upstream = TcpStream::connect(destination).await.unwrap();
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut upstream).await;
            });
            return Response::default();
        }
        let mut response = Response::new(Full::new(self.credentials()));
        if request.uri().path() != CREDENTIALS {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    }

    async fn serve(self, stream: DuplexStream) {
        let service = service_fn(|request| {
            let parent = self.clone();
            async move { Ok::<_, Infallible>(parent.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ = connection.with_upgrades().await;
    }
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(self.clone().serve(far));
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}
