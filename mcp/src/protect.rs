//! A protected resource (RFC 9728) that takes DPoP-bound tokens alone (RFC 9449 section 7).
use std::sync::Arc;

use axum::{
    Router,
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, HeaderValue, request::Parts},
    middleware::{self, Next},
    response::Response,
};
use dauth_token::{
    NonceIssuer, ProofRules, ReplayCache, ReplayLimits, Thumbprint, dpop_credentials, sole_proof,
    verify_proof,
};

mod caller;
mod challenge;
mod documents;
mod setup;

pub use caller::Caller;
use challenge::Refusal;
pub use setup::{DpopNonces, SetupError};

use crate::{IssuerKeys, ResourceUri, clock::now_s};

/// How old a proof may be.
const PROOF_MAX_AGE_S: u64 = 60;
const PROOF_LEEWAY_S: u64 = 15;
const REPLAY_LIMITS: ReplayLimits = ReplayLimits {
    entries: 200_000,
    entries_per_quota: 10_000,
};
const AUTHORIZATION: &str = "authorization";
const DPOP: &str = "dpop";
const DPOP_NONCE: &str = "dpop-nonce";

/// What protects a resource, and says so to clients.
pub struct ProtectedResource {
    resource: ResourceUri,
    issuer: IssuerKeys,
    scopes: Vec<String>,
    keys: dauth_token::Jwks,
    nonce_rule: DpopNonces,
    nonces: NonceIssuer,
    /// Since when proofs are remembered.
    started_s: u64,
    replays: ReplayCache,
}

/// Puts `router` behind the resource's protection, and adds the resource's public documents:
/// metadata at both well-known addresses, and its keys.
///
/// Handlers find the [`Caller`] in the request's extensions; token and proof are taken out of the
/// header fields, so that no handler passes them on or logs them.
pub fn protect(resource: &Arc<ProtectedResource>, router: Router) -> Router {
    let layer = middleware::from_fn_with_state(Arc::clone(resource), check);
    router.layer(layer).merge(documents::router(resource))
}

async fn check(
    State(resource): State<Arc<ProtectedResource>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut response = match resource.authenticate(&parts).await {
        Ok(caller) => {
            parts.headers.remove(AUTHORIZATION);
            parts.headers.remove(DPOP);
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => {
            tracing::info!(path = parts.uri.path(), "refused: {refusal}");
            refusal.into_response(&resource)
        }
    };
    if let Ok(nonce) = HeaderValue::from_str(&resource.nonces.issue(now_s())) {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

impl ProtectedResource {
    /// The resource's identifier.
    pub fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    /// Judges a request by its method, path and header fields. What the client's proxies say of
    /// scheme and host (`Host`, `Forwarded`, `X-Forwarded-*`) is not read.
    async fn authenticate(&self, request: &Parts) -> Result<Caller, Refusal> {
        let now_s = now_s();
        let token = dpop_credentials(fields(&request.headers, AUTHORIZATION))?;
        let proof = sole_proof(fields(&request.headers, DPOP))?;
        let verified = self
            .issuer
            .verify(token, self.resource.as_str(), now_s)
            .await?;
        let htu = format!("{}{}", self.resource.origin(), path_as_sent(request));
        let rules = ProofRules {
            method: request.method.as_str(),
            htu: &htu,
            access_token: Some(token),
            now_s,
            max_age_s: PROOF_MAX_AGE_S,
            leeway_s: PROOF_LEEWAY_S,
        };
        let proof = verify_proof(proof, &rules)?;
        let bound = verified.bind(&proof)?;
        match (proof.nonce(), self.nonce_rule) {
            (Some(nonce), _) if self.nonces.is_current(nonce, now_s) => {}
            // An older one may have passed before a restart, which nothing here remembers. One of
            // the starting second passes: refusing it too would refuse clients that start with us.
            (None, DpopNonces::Optional) if proof.iat() >= self.started_s => {}
            _ => return Err(Refusal::Nonce),
        }
        // After all else, so that strangers cannot fill the cache.
        self.remember(&proof, bound.holder(), now_s)?;
        if !self.scopes.iter().all(|scope| bound.has_scope(scope)) {
            return Err(Refusal::Scope);
        }
        Ok(Caller::new(&bound, token))
    }

    fn remember(
        &self,
        proof: &dauth_token::VerifiedProof,
        holder: &Thumbprint,
        now_s: u64,
    ) -> Result<(), Refusal> {
        let quota = *holder.as_bytes();
        self.replays
            .insert(proof.replay_key(), quota, proof.expires_s(), now_s)
            .map_err(Refusal::Replay)
    }
}

/// The path before any router of ours has stripped a prefix from it.
fn path_as_sent(request: &Parts) -> &str {
    match request.extensions.get::<OriginalUri>() {
        Some(OriginalUri(uri)) => uri.path(),
        None => request.uri.path(),
    }
}

fn fields<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests;
