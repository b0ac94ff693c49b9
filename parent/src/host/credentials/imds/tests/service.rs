//! An instance metadata service on loopback that says what a test tells it to.
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, mpsc},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

pub(super) const TOKEN: &str = "/latest/api/token";
pub(super) const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
pub(super) const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/enclave-role";

/// What the service answers.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    body: String,
    token_life_s: Option<u64>,
    location: Option<String>,
}

impl Answer {
    pub(super) fn text(body: &str) -> Self {
        Self {
            status: 200,
            body: body.to_owned(),
            token_life_s: None,
            location: None,
        }
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::text("")
        }
    }

    pub(super) fn token(token: &str, life_s: u64) -> Self {
        Self {
            token_life_s: Some(life_s),
            ..Self::text(token)
        }
    }

    pub(super) fn redirect(endpoint: &str) -> Self {
        Self {
            location: Some(format!("{endpoint}{ROLE}")),
            ..Self::status(302)
        }
    }

    pub(super) fn into_text(self) -> String {
        self.body
    }
}

/// Credentials as the service writes them.
pub(super) fn credentials(name: &str, expires: Timestamp) -> Answer {
    let json = serde_json::json!({
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": format!("ASIA{name}"),
        "SecretAccessKey": format!("secret-{name}"),
        "Token": format!("session-{name}"),
        "Expiration": expires.to_string(),
    });
    Answer::text(&json.to_string())
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) token: Option<String>,
}

impl Asked {
    pub(super) fn new(method: &str, path: &str, token: Option<String>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            token,
        }
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    asked: Vec<Asked>,
    /// The one token that is known; any is, unless given.
    known: Option<String>,
    /// The next credentials are handed out once this says so.
    gate: Option<mpsc::Receiver<()>>,
}

pub(super) struct Service {
    endpoint: String,
    script: Arc<Mutex<Script>>,
    came: Arc<Notify>,
    _server: JoinSet<()>,
}

impl Service {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let came = Arc::new(Notify::new());
        let (served, notify) = (Arc::clone(&script), Arc::clone(&came));
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, came) = (Arc::clone(&served), Arc::clone(&notify));
                let service = service_fn(move |request| {
                    let (script, came) = (Arc::clone(&script), Arc::clone(&came));
                    async move { Ok::<_, Infallible>(answer(&request, &script, &came).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            endpoint,
            script,
            came,
            _server: server,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(super) fn answer(&self, path: &str, answer: Answer) {
        let mut script = self.script.lock().unwrap();
        script.answers.insert(path.to_owned(), answer);
    }

    pub(super) fn know_only(&self, token: &str) {
        self.script.lock().unwrap().known = Some(token.to_owned());
    }

    /// The next credentials are handed out only after a word from the other end of `gate`.
    pub(super) fn hold(&self, gate: mpsc::Receiver<()>) {
        self.script.lock().unwrap().gate = Some(gate);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|a| a.path == path).count()
    }

    /// Until `path` has been asked for this often.
    pub(super) async fn wait_for(&self, path: &str, times: usize) {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            came.as_mut().enable();
            if self.count(path) >= times {
                return;
            }
            came.await;
        }
    }
}

async fn answer(
    request: &Request<Incoming>,
    script: &Mutex<Script>,
    came: &Notify,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let token = request
        .headers()
        .get("x-aws-ec2-metadata-token")
        .map(|token| token.to_str().unwrap().to_owned());
    let (answer, gate) = {
        let mut script = script.lock().unwrap();
        let method = request.method().as_str();
        script.asked.push(Asked::new(method, &path, token.clone()));
        let known = script.known.clone();
        let is_known = match (request.method(), token) {
            (&Method::PUT, _) => {
                request.headers()["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            }
            // As version 1 would: without a token, gladly.
            (_, None) => true,
            (_, Some(token)) => known.is_none_or(|known| known == token),
        };
        let gate = if path == CREDENTIALS {
            script.gate.take()
        } else {
            None
        };
        let answer = match script.answers.get(&path) {
            _ if !is_known => Answer::status(401),
            Some(answer) => answer.clone(),
            None => Answer::status(404),
        };
        (answer, gate)
    };
    came.notify_waiters();
    if let Some(gate) = gate {
        let opened = tokio::task::spawn_blocking(move || gate.recv()).await;
        let _ = opened.unwrap();
    }
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    if let Some(life_s) = answer.token_life_s {
        let name = "x-aws-ec2-metadata-token-ttl-seconds";
        response.headers_mut().insert(name, life_s.into());
    }
    if let Some(location) = answer.location {
        let location = location.parse().unwrap();
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
