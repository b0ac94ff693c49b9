//! Callers of the gateway, as an MCP server in any language is one, who note what became of each call.
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_protocol::Code;
use dauth_tests::StackFile;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

/// How long further calls may take on a busy machine.
pub(crate) const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Between the calls of one caller.
const PAUSE: Duration = Duration::from_millis(5);

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) at: Instant,
    pub(crate) code: String,
    /// What the gateway says of another attempt.
    pub(crate) retryable: bool,
    message: String,
}

impl Failed {
    /// Whether the caller was told to try again: these calls are idempotent.
    pub(crate) fn is_retryable(&self) -> bool {
        self.retryable && Code::from_header(&self.code).is_some_and(Code::retryable)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Callers that call again and again.
pub(crate) struct Callers {
    going: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<Failed>>>,
    callers: JoinSet<()>,
}

impl Callers {
    /// So many, each with a token of its own.
    pub(crate) async fn start(
        count: usize,
        stack: &StackFile,
        gateway: &str,
        handle: &str,
    ) -> Self {
        let mut this = Self {
            going: Arc::new(AtomicBool::new(true)),
            served: Arc::default(),
            failed: Arc::default(),
            callers: JoinSet::new(),
        };
        for number in 0..count {
            let caller = Arc::new(Caller::new(stack, gateway, handle, number).await);
            let (going, served) = (Arc::clone(&this.going), Arc::clone(&this.served));
            let failed = Arc::clone(&this.failed);
            this.callers.spawn(async move {
                while going.load(Ordering::Relaxed) {
                    match caller.call().await {
                        Ok(()) => drop(served.fetch_add(1, Ordering::Relaxed)),
                        Err(failure) => failed.lock().unwrap().push(failure),
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        this
    }

    /// Waits until `count` more calls have been served.
    pub(crate) async fn goes_on(&self, count: u64) {
        let goal = self.served() + count;
        let deadline = Instant::now() + PROGRESS_TIMEOUT;
        while self.served() < goal {
            let last = self.failed().pop();
            assert!(Instant::now() < deadline, "calls do not go on: {last:?}");
            sleep(POLL).await;
        }
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> Vec<Failed> {
        self.failed.lock().unwrap().clone()
    }

    /// Stops; all failures.
    pub(crate) async fn stop(mut self) -> Vec<Failed> {
        self.going.store(false, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        self.failed()
    }
}

struct Caller {
    gateway: String,
    deployment: String,
    key: Vec<u8>,
    token: AccessToken,
    handle: String,
    number: usize,
    calls: AtomicU64,
}

impl Caller {
    async fn new(stack: &StackFile, gateway: &str, handle: &str, number: usize) -> Self {
        let tokens = stack.clients.sdk.tokens(stack);
        let key = DpopKey::generate().unwrap();
        let resource = &stack.clients.mcp.resource;
        let token = tokens.client_credentials(resource, Some("demo:call"), &key);
        Self {
            gateway: gateway.to_owned(),
            deployment: stack.gateway.deployment_id.clone(),
            key: STANDARD.decode(&stack.gateway.auth_secret).unwrap(),
            token: token.await.unwrap(),
            handle: handle.to_owned(),
            number,
            calls: AtomicU64::new(0),
        }
    }

    async fn call(&self) -> Result<(), Failed> {
        let reply = self.dispatch().await;
        if reply["success"] == true && reply["response"]["status"] == 200 {
            return Ok(());
        }
        let error = &reply["error"];
        Err(Failed {
            at: Instant::now(),
            code: error["code"].as_str().unwrap_or_default().to_owned(),
            retryable: error["retryable"] == true,
            message: reply.to_string(),
        })
    }

    /// `POST /dispatch`, signed as the stack's deployment.
    async fn dispatch(&self) -> Value {
        // The gateway takes no two requests that differ in nothing.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let path = format!("/load/{}/{call}", self.number);
        let request = json!({ "method": "GET", "path": path });
        let body = json!({ "connection_handle": self.handle, "request": request }).to_string();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = now.unwrap().as_secs();
        let digest = hex::encode(Sha256::digest(&body));
        let message = format!("{timestamp}:{}:{digest}", self.deployment);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signature = hex::encode(hmac::sign(&key, message.as_bytes()));
        let request = http::Request::post("/dispatch")
            .header("host", "localhost")
            .header("x-dedalus-timestamp", timestamp)
            .header("x-dedalus-deployment", &self.deployment)
            .header("x-dedalus-signature", signature)
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let stream = TcpStream::connect(&self.gateway).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}
