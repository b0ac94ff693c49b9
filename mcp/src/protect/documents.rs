//! What a resource publishes: metadata (RFC 9728) and keys.
use std::sync::Arc;

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use super::ProtectedResource;
use crate::resource::METADATA_PATH;

const KEYS_PATH: &str = "/.well-known/jwks.json";

/// Serves the documents, open to all.
pub(super) fn router(resource: &Arc<ProtectedResource>) -> Router {
    let metadata = resource.metadata();
    let keys = resource.keys.to_json();
    let inserted = resource.resource.metadata_path();
    let document = move || async move { Json(metadata) };
    let mut router = Router::new()
        .route(METADATA_PATH, get(document.clone()))
        .route(KEYS_PATH, get(move || async move { Json(keys) }));
    if inserted != METADATA_PATH {
        router = router.route(&inserted, get(document));
    }
    router
}

impl ProtectedResource {
    /// The metadata document (RFC 9728 section 2).
    pub fn metadata(&self) -> Value {
        let mut metadata = json!({
            "resource": self.resource.as_str(),
            "authorization_servers": [self.issuer.issuer()],
            "jwks_uri": format!("{}{KEYS_PATH}", self.resource.origin()),
            "bearer_methods_supported": ["header"],
            "dpop_bound_access_tokens_required": true,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
        });
        if !self.scopes.is_empty() {
            metadata["scopes_supported"] = self.scopes.clone().into();
        }
        metadata
    }
}
