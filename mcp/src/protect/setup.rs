//! Setting a protected resource up.
use aws_lc_rs::rand;
use dauth_token::{Jwk, Jwks, NamedJwk, NonceIssuer, ReplayCache};
use serde::{Deserialize, Serialize};

use super::{ProtectedResource, REPLAY_LIMITS};
use crate::{IssuerError, IssuerKeys, ResourceUri, clock::now_s};

const NONCE_LIFE_S: u64 = 300;

/// Whether a proof needs a nonce of this server (RFC 9449 section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpopNonces {
    /// It does: a proof seen before a restart is worth nothing after it.
    #[default]
    Required,
    /// It does not, for clients that cannot; a nonce that is sent must be current all the same.
    ///
    /// A proof without one that was made before this server started is refused, with a nonce to try
    /// again: it may have passed before a restart. What remains: a proof of the very second of the
    /// start, or dated ahead of our clock (by 15 seconds at most), can pass once more; and a client
    /// whose clock is behind is refused until its clock has reached the start.
    Optional,
}

/// Why a resource cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The issuer is not usable.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The system gives no random numbers.
    #[error("the system's random source failed")]
    Random,
}

impl ProtectedResource {
    /// The resource `resource`, whose tokens `issuer` issues. Proofs need nonces, no scope is
    /// required, and no key is published until told otherwise.
    pub fn new(resource: ResourceUri, issuer: &str) -> Result<Self, SetupError> {
        let (mut key, mut instance) = ([0; 32], [0; 16]);
        rand::fill(&mut key).map_err(|_| SetupError::Random)?;
        rand::fill(&mut instance).map_err(|_| SetupError::Random)?;
        let started_s = now_s();
        Ok(Self {
            resource,
            issuer: IssuerKeys::new(issuer)?,
            scopes: Vec::new(),
            keys: Jwks::default(),
            nonce_rule: DpopNonces::Required,
            nonces: NonceIssuer::new(&key, instance, started_s, NONCE_LIFE_S),
            started_s,
            replays: ReplayCache::new(REPLAY_LIMITS),
        })
    }

    /// The scopes that every request needs, all of them.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = String>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// The public keys that this server proves with when it dispatches: owners pin them.
    #[must_use]
    pub fn with_keys<'a>(mut self, keys: impl IntoIterator<Item = &'a Jwk>) -> Self {
        let named = keys.into_iter().map(|key| NamedJwk {
            kid: key.thumbprint().as_str().to_owned(),
            key: key.clone(),
        });
        self.keys = Jwks::new(named.collect());
        self
    }

    /// Whether proofs need nonces.
    #[must_use]
    pub fn with_nonces(mut self, rule: DpopNonces) -> Self {
        self.nonce_rule = rule;
        self
    }
}
