//! Calls that go on while something changes.
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dauth_client::{NewConnection, Owner, Pinning, PolicyParts, Profile, Secret};
use dauth_dispatch::{CallBody, CallRequest, DpopKey, TokenClient};
use dauth_protocol::{BaseUrl, Handle, Injection, Rule, policy::Limits};
use dauth_simulator::mcp_client::call_tool;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::StackFile;

/// How long further calls may take on a busy machine.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Callers that call again and again.
pub struct Load {
    served: Arc<AtomicU64>,
    stop: watch::Sender<Going>,
    callers: JoinSet<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    Out,
}

impl Load {
    /// No caller yet.
    pub fn new() -> Self {
        Self {
            served: Arc::default(),
            stop: watch::Sender::new(Going::On),
            callers: JoinSet::new(),
        }
    }

    /// Adds callers that are the owner of `profile`: a token, then a call through `handle`.
    pub fn add_owners(&mut self, count: usize, profile: &Path, handle: &str) {
        for _ in 0..count {
            let owner = Arc::new(owner(profile));
            let handle: Handle = handle.parse().unwrap();
            self.add(move || call(Arc::clone(&owner), handle.clone()));
        }
    }

    /// Adds callers that are the owner, and make a connection, use it once and revoke it.
    pub fn add_connectors(&mut self, count: usize, profile: &Path, base_url: &str) {
        for _ in 0..count {
            let owner = Arc::new(owner(profile));
            let base_url: BaseUrl = base_url.parse().unwrap();
            self.add(move || connect_call_revoke(Arc::clone(&owner), base_url.clone()));
        }
    }

    /// Adds callers that use the demo tool of the stack's MCP server.
    pub fn add_tools(&mut self, count: usize, stack: &StackFile) {
        for _ in 0..count {
            let resource = stack.clients.mcp.resource.clone();
            let tokens = Arc::new(stack.clients.sdk.tokens(stack));
            let key = Arc::new(DpopKey::generate().unwrap());
            self.add(move || use_tool(resource.clone(), Arc::clone(&tokens), Arc::clone(&key)));
        }
    }

    fn add<F>(&mut self, call: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (served, stop) = (Arc::clone(&self.served), self.stop.subscribe());
        self.callers.spawn(async move {
            let mut failures = Vec::new();
            while *stop.borrow() == Going::On {
                match call().await {
                    Ok(()) => drop(served.fetch_add(1, Ordering::Relaxed)),
                    Err(failure) => failures.push(failure),
                }
            }
            failures
        });
    }

    /// Waits until `count` more calls have been served.
    pub async fn goes_on(&self, count: u64) {
        let goal = self.served.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PROGRESS_TIMEOUT;
        while self.served.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "calls do not go on");
            sleep(POLL).await;
        }
    }

    /// Stops, and asserts that no call failed. How many were served.
    pub async fn assert_none_failed(mut self) -> u64 {
        self.stop.send_replace(Going::Out);
        let mut failures = Vec::new();
        while let Some(caller) = self.callers.join_next().await {
            failures.extend(caller.unwrap());
        }
        let served = self.served.load(Ordering::Relaxed);
        let failed = failures.len();
        let kinds: BTreeSet<String> = failures.into_iter().collect();
        assert!(
            kinds.is_empty(),
            "{failed} calls failed, {served} did not: {kinds:#?}"
        );
        served
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

fn owner(profile: &Path) -> Owner {
    Owner::new(&Profile::load(profile).unwrap()).unwrap()
}

async fn call(owner: Arc<Owner>, handle: Handle) -> Result<(), String> {
    let request = CallRequest {
        handle,
        method: Method::GET,
        path_and_query: "/load".to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    };
    let response = owner
        .call(request)
        .await
        .map_err(|e| sentence("call", &e))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|e| sentence("body", &e))?.to_bytes();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("status {status}: {body:?}"))
    }
}

async fn connect_call_revoke(owner: Arc<Owner>, base_url: BaseUrl) -> Result<(), String> {
    let rule = Rule {
        methods: vec!["GET".to_owned()],
        path: "/**".parse().unwrap(),
        scope: None,
    };
    let new = NewConnection {
        name: "of the load".to_owned(),
        policy: PolicyParts {
            base_url,
            injection: Injection::Bearer {},
            rules: vec![rule],
            request_headers: Vec::new(),
            limits: Limits::default(),
            servers: Vec::new(),
            pinning: Pinning::Pinned,
        },
        life: NewConnection::DEFAULT_LIFE,
    };
    let secret = Secret::new(b"load-secret-0123456789".to_vec()).unwrap();
    let made = owner.connect(&new, &secret).await;
    let handle = made.map_err(|e| sentence("connect", &e))?;
    call(Arc::clone(&owner), handle.clone()).await?;
    let revoked = owner.revoke(&handle).await;
    revoked.map_err(|e| sentence("revoke", &e))
}

async fn use_tool(
    resource: String,
    tokens: Arc<TokenClient>,
    key: Arc<DpopKey>,
) -> Result<(), String> {
    let token = tokens.client_credentials(&resource, Some("demo:call"), &key);
    let token = token.await.map_err(|e| sentence("token", &e))?;
    let arguments = serde_json::Map::new();
    let result = call_tool(&resource, token, key, "whoami", arguments).await;
    let result = result.map_err(|e| sentence("tool", &e))?;
    match result["status"].as_u64() {
        Some(200) => Ok(()),
        _ => Err(format!("tool: {result}")),
    }
}

fn sentence(step: &str, error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    format!("{step}: {}", causes.join(": "))
}
