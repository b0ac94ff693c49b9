//! What clients discover: RFC 8414 metadata, the OpenID Connect form of it, the key set.
use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dauth_token::Algorithm;
use http::{HeaderValue, header};
use serde_json::{Value, json};

use crate::{app::App, grant::GRANT_TYPES, token_endpoint};

/// Where the key set is.
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks.json";

/// `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.
///
/// It lists what there is, not what is planned: a client that found an endpoint here would use it.
pub(crate) async fn authorization_server(State(app): State<Arc<App>>) -> Response {
    let mut metadata = json!({
        "issuer": app.settings.issuer,
        "token_endpoint": app.url(token_endpoint::PATH),
        "jwks_uri": app.url(JWKS_PATH),
        "grant_types_supported": GRANT_TYPES,
        // Required by RFC 8414 section 2; empty without an authorization endpoint.
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "dpop_signing_alg_values_supported": Algorithm::NAMES,
        // Required by OpenID Connect Discovery section 3, whose readers also read this.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [Algorithm::Es256.name()],
    });
    // RFC 8414 section 2 allows more. Nobody is asked to believe it: evidence says who answers there.
    if let Some(ingress) = &app.settings.ingress {
        metadata["dauth_enclave"] = json!({ "resource": app.settings.enclave, "ingress": ingress });
    }
    cached(metadata)
}

/// `/.well-known/jwks.json`.
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Response {
    cached(app.jwks.to_json())
}

fn cached(body: Value) -> Response {
    let mut response = Json(body).into_response();
    let value = HeaderValue::from_static("public, max-age=60");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}
