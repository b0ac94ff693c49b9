//! An HTTP server on loopback that answers as told, and remembers what it was asked.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use dauth_token::{ProofRules, VerifiedProof, verify_proof};
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Parts,
    pub(crate) body: String,
}

/// What every server of these tests can tell afterwards.
pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

pub(crate) struct PlainServer {
    pub(crate) url: String,
    pub(crate) log: Log,
}

impl PlainServer {
    /// Serves until the test ends. `answer` is given the server's own URL.
    pub(crate) async fn start(
        answer: impl Fn(&str, &Seen) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Log::default();
        let (shared, own_url) = (Arc::clone(&log), url.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, url, answer) = (shared.clone(), own_url.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (log, url, answer) = (log.clone(), url.clone(), answer.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let body = String::from_utf8(body.to_vec()).unwrap();
                        let seen = Seen { head, body };
                        log.lock().unwrap().push(seen.clone());
                        let response = answer(&url, &seen);
                        Ok::<_, hyper::Error>(response.map(|text| Full::new(Bytes::from(text))))
                    }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { url, log }
    }

    /// The requests for one path, in order.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let log = self.log.lock().unwrap();
        let of_path = |seen: &&Seen| seen.head.uri.path() == path;
        log.iter().filter(of_path).cloned().collect()
    }
}

pub(crate) fn reply(status: u16, nonce: Option<&str>, body: &str) -> Response<String> {
    let mut response = Response::builder().status(status);
    if let Some(nonce) = nonce {
        response = response.header("dpop-nonce", nonce);
    }
    response.body(body.to_owned()).unwrap()
}

/// Verifies a request's one proof, as a server would.
pub(crate) fn proof(
    headers: &HeaderMap,
    method: &str,
    htu: &str,
    access_token: Option<&str>,
) -> VerifiedProof {
    let mut proofs = headers.get_all("dpop").iter();
    let proof = proofs.next().unwrap().to_str().unwrap();
    assert!(proofs.next().is_none());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let rules = ProofRules {
        method,
        htu,
        access_token,
        now_s: since.as_secs(),
        max_age_s: 30,
        leeway_s: 5,
    };
    verify_proof(proof, &rules).unwrap()
}
