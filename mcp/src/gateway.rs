//! The language-neutral gateway: `POST /dispatch`.
//!
//! A deployment (an MCP server in any language) authenticates by an HMAC over time, its id and the
//! body, and passes its caller's token. The gateway verifies that token for the deployment's own
//! resource, exchanges it and dispatches through the enclave. It holds the deployment's client
//! credentials and DPoP key, and no person's credential.
//!
//! | status | body | when |
//! |---|---|---|
//! | 200 | `{"success":true,"response":{status,headers,body}}` | the upstream answered, whatever its status |
//! | 200 | `{"success":false,"error":{code,message,retryable}}` | DAuth refused the call |
//! | 400, 401, 408, 409, 413, 429, 503 | the same | the request itself was refused |
use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dauth_token::{ReplayCache, ReplayLimits};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

mod intake;
mod listener;
mod metrics;
mod refusal;
mod signature;
mod wire;

use intake::Intake;
use metrics::Metrics;
use refusal::Refusal;
use signature::{CallersToken, Secret, SignatureError};
use wire::{Dispatch, Outcome};

use crate::{
    Caller, Dispatcher, IssuerError, IssuerKeys, ResourceUri,
    clock::now_s,
    configuration::{Client, ConfigurationError, Enclave},
};

/// The gateway's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Where deployments connect.
    pub listen: SocketAddr,
    /// The authorization server, byte for byte.
    pub issuer: String,
    /// The enclave.
    pub enclave: Enclave,
    /// The deployments that may dispatch.
    pub deployments: Vec<DeploymentConfiguration>,
    /// The largest request body, in bytes.
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: usize,
}

/// `[[deployments]]`: an MCP server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentConfiguration {
    /// What it calls itself in `X-Dedalus-Deployment`.
    pub id: String,
    /// The HMAC key (base64, at least 16 bytes).
    pub auth_secret_file: PathBuf,
    /// Its resource: callers' tokens must be for it.
    pub resource: ResourceUri,
    /// Its client at the authorization server, whose registered resource is the same.
    pub client: Client,
}

/// Why the gateway did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is not usable.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The issuer is not usable.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// Which of the two would count is not for the gateway to guess.
    #[error("two deployments have the id {0:?}")]
    DeploymentTwice(String),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

struct Gateway {
    issuer: IssuerKeys,
    deployments: HashMap<String, Deployment>,
    intake: Intake,
    replays: ReplayCache,
    metrics: Metrics,
}

struct Deployment {
    secret: Secret,
    resource: ResourceUri,
    dispatcher: Dispatcher,
}

const REPLAY_LIMITS: ReplayLimits = ReplayLimits {
    entries: 400_000,
    entries_per_quota: 100_000,
};

/// Serves until `shutdown` ends; then lets calls under way end.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let address = configuration.listen;
    let router = router(configuration)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(listen = %address, "the gateway serves");
    listener::serve(listener, router, listener::Limits::default(), shutdown).await;
    Ok(())
}

fn router(configuration: Configuration) -> Result<Router, RunError> {
    let mut deployments = HashMap::new();
    for deployment in configuration.deployments {
        let dispatcher = deployment
            .client
            .dispatcher(&configuration.issuer, &configuration.enclave)?;
        let served = Deployment {
            secret: Secret::load(&deployment.auth_secret_file)?,
            resource: deployment.resource,
            dispatcher,
        };
        match deployments.entry(deployment.id) {
            Entry::Vacant(free) => {
                free.insert(served);
            }
            Entry::Occupied(taken) => return Err(RunError::DeploymentTwice(taken.key().clone())),
        }
    }
    let gateway = Gateway {
        issuer: IssuerKeys::new(&configuration.issuer)?,
        deployments,
        intake: Intake::new(configuration.max_body_bytes, intake::Limits::default()),
        replays: ReplayCache::new(REPLAY_LIMITS),
        metrics: Metrics::default(),
    };
    Ok(Router::new()
        .route("/dispatch", post(dispatch))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Arc::new(gateway)))
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    match gateway.issuer.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => {
            let reason = "the issuer's keys cannot be fetched\n";
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

async fn metrics_text(State(gateway): State<Arc<Gateway>>) -> Response {
    let media_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (media_type, gateway.metrics.to_text()).into_response()
}

async fn dispatch(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let outcome = gateway.handle(&parts.headers, body).await;
    gateway.metrics.count(&outcome);
    match outcome {
        Ok(Ok(response)) => axum::Json(response).into_response(),
        Ok(Err(error)) => {
            tracing::info!("dispatch: {}", error.why);
            axum::Json(Outcome::failed(&error)).into_response()
        }
        Err(refusal) => {
            tracing::info!("refused: {refusal}");
            refusal.into_response()
        }
    }
}

type Dispatched = Result<Outcome, wire::Unanswered>;

impl Gateway {
    /// The outer error is of the request, the inner one of the call.
    async fn handle(&self, headers: &HeaderMap, body: Body) -> Result<Dispatched, Refusal> {
        // All that the header fields can tell comes first: a stranger's body is not worth reading.
        // That tells an unknown deployment by how soon it is refused, but an id is no secret.
        let signed = signature::Signed::read(headers)?;
        signed.check_time(now_s())?;
        let known = self.deployments.get(signed.deployment());
        let deployment = known.ok_or(SignatureError::Wrong)?;
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        let body = self.intake.read(body).await?;
        signed.verify(&deployment.secret, body.bytes())?;
        let body = body.authenticated();
        let now_s = now_s();
        let verified = self
            .issuer
            .verify(token, deployment.resource.as_str(), now_s)
            .await
            .map_err(Refusal::Token)?;
        signed.remember(CallersToken(token), now_s, &self.replays)?;
        let caller = Caller::vouched(&verified, token);
        let dispatch = Dispatch::parse(&body)?;
        let (timeout, method) = (dispatch.timeout, dispatch.call.method.clone());
        let calling = async {
            let response = deployment.dispatcher.call(&caller, dispatch.call).await?;
            Outcome::of(response).await
        };
        let called = tokio::time::timeout(timeout, calling).await;
        let reply = called.unwrap_or(Err(wire::CallFailed::TimedOut));
        Ok(reply.map_err(|why| wire::Unanswered { why, method }))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn default_max_body_bytes() -> usize {
    // A body of the usual size limit, in JSON.
    12 * 1024 * 1024
}

#[cfg(test)]
mod tests;
