//! Which path is answered by what.
use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dauth_protocol::limit::MAX_BATCH_BYTES;
use http::{HeaderValue, StatusCode, header};

use crate::{
    app::App, clock, connections_api, host_api, metadata, metrics, receipts_api, token_endpoint,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// For clients and the parent, over http.
pub(crate) fn public(app: &Arc<App>) -> Router {
    let connections = Router::new()
        .route(
            "/v1/connections",
            get(connections_api::list).post(connections_api::create),
        )
        // The path that some published clients create with.
        .route("/v1/connections/create", post(connections_api::create))
        .route(
            "/v1/connections/{handle}",
            get(connections_api::show).delete(connections_api::revoke),
        )
        .route(
            "/v1/connections/{handle}/rotate",
            post(connections_api::rotate),
        )
        .route(receipts_api::PATH, get(receipts_api::list))
        .layer(DefaultBodyLimit::max(connections_api::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(app), private));
    let token = Router::new()
        .route(token_endpoint::PATH, post(token_endpoint::post))
        .layer(DefaultBodyLimit::max(token_endpoint::MAX_BODY_BYTES));
    let host = Router::new()
        .route(host_api::PATH, get(host_api::get).put(host_api::put))
        .layer(DefaultBodyLimit::max(connections_api::MAX_BODY_BYTES));
    let receipts = Router::new()
        .route(host_api::receipts::PATH, post(host_api::receipts::post))
        .layer(DefaultBodyLimit::max(MAX_BATCH_BYTES));
    let router = key_set()
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::authorization_server),
        )
        .route(
            "/.well-known/openid-configuration",
            get(metadata::authorization_server),
        )
        .merge(host)
        .merge(receipts)
        .route("/metrics", get(metrics::get))
        .merge(connections)
        .merge(token);
    finish(router, app)
}

/// For the enclave, over https with the pinned key: the key set and nothing else of use.
pub(crate) fn enclave(app: &Arc<App>) -> Router {
    finish(key_set(), app)
}

fn key_set() -> Router<Arc<App>> {
    Router::new()
        .route(metadata::JWKS_PATH, get(metadata::jwks))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
}

fn finish(router: Router<Arc<App>>, app: &Arc<App>) -> Router {
    router
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            metrics::count,
        ))
        .with_state(Arc::clone(app))
}

/// Every reply to an owner carries a nonce and is stored nowhere.
async fn private(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(nonce) = HeaderValue::from_str(&app.dpop.nonce(clock::now_s())) {
        fields.insert("dpop-nonce", nonce);
    }
    response
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// `GET /healthz`: the process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: it can serve.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store.check().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "the store failed");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer\n",
            )
                .into_response()
        }
    }
}
