//! Who calls, and what was proved about it.
//!
//! [`Authorizer::authenticate`] yields [`Authenticated`]: a token of the measured issuer, bound to a
//! key whose holder made a fresh proof for this very request. [`crate::open`] goes on from there to
//! [`Authorized<Call>`].
mod authenticated;
mod call;
mod credentials;
mod refuse;
mod target;
mod verified_tokens;

use std::sync::Arc;

use dauth_protocol::{Code, DeploymentConfiguration};
use dauth_token::{
    AccessTokenRules, Jwks, NonceIssuer, ProofRules, ReplayCache, ReplayLimits, TokenError,
    VerifiedAccessToken, VerifiedProof, verify_access_token, verify_proof,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{issuer::IssuerKeys, refusal::Refusal};
use credentials::Credentials;
use verified_tokens::VerifiedTokens;

pub use authenticated::{Authenticated, Caller};
pub use call::{Authorized, Call};
pub use credentials::RequestHead;
pub use target::Target;

/// How long a nonce is good, at most.
const NONCE_LIFE_S: u64 = 120;
/// How old a proof may be: its nonce already says that it is recent.
const PROOF_MAX_AGE_S: u64 = 60;
/// How far the clocks of clients and of the issuer may be off.
const LEEWAY_S: u64 = 30;
/// Proofs that are remembered at a time: about 100 bytes each.
const MAX_PROOFS: usize = 1 << 19;
/// Of those, proofs by one key.
const MAX_PROOFS_PER_KEY: usize = 1 << 16;
/// Of those, proofs of one tenant.
const MAX_PROOFS_PER_TENANT: usize = 1 << 18;

/// Verifies what a request brings. One per enclave: it remembers the proofs that have passed.
pub struct Authorizer {
    issuer: String,
    audience: String,
    keys: Arc<IssuerKeys>,
    verified: VerifiedTokens,
    nonces: NonceIssuer,
    proofs_by_key: ReplayCache,
    proofs_by_tenant: ReplayCache,
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source of randomness failed")]
pub struct RandomnessError;

impl Authorizer {
    /// An authorizer for the measured configuration. Its nonces are its own: neither another
    /// enclave nor this one after a restart accepts them.
    pub fn new(
        configuration: &DeploymentConfiguration,
        keys: Arc<IssuerKeys>,
        now_s: u64,
    ) -> Result<Self, RandomnessError> {
        let mut nonce_key = Zeroizing::new([0; 32]);
        let mut instance = [0; 16];
        aws_lc_rs::rand::fill(nonce_key.as_mut_slice()).map_err(|_| RandomnessError)?;
        aws_lc_rs::rand::fill(&mut instance).map_err(|_| RandomnessError)?;
        let limits = |entries_per_quota| ReplayLimits {
            entries: MAX_PROOFS,
            entries_per_quota,
        };
        Ok(Self {
            issuer: configuration.issuer.clone(),
            audience: configuration.audience.clone(),
            keys,
            verified: VerifiedTokens::default(),
            nonces: NonceIssuer::new(&nonce_key, instance, now_s, NONCE_LIFE_S),
            proofs_by_key: ReplayCache::new(limits(MAX_PROOFS_PER_KEY)),
            proofs_by_tenant: ReplayCache::new(limits(MAX_PROOFS_PER_TENANT)),
        })
    }

    /// The enclave's resource identifier: `aud` of the tokens that it accepts.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The nonce for the `DPoP-Nonce` field of a reply.
    pub fn nonce(&self, now_s: u64) -> String {
        self.nonces.issue(now_s)
    }

    /// Verifies token, proof, nonce and binding, and lets the proof pass this once.
    pub async fn authenticate(
        &self,
        head: &RequestHead<'_>,
        now_s: u64,
    ) -> Result<Authenticated, Refusal> {
        let credentials = Credentials::of(head)?;
        let token = self.verify_token(credentials.token, now_s).await?;
        let proof = self.verify_proof(&credentials, head, now_s)?;
        // Before the nonce is asked for: a stranger's request gets no further than this.
        let token = token.bind(&proof).map_err(refuse::token)?;
        let authenticated = Authenticated::from_token(token)?;
        self.check_nonce(&proof, now_s)?;
        self.pass_once(&proof, &authenticated, now_s)?;
        Ok(authenticated)
    }

    async fn verify_token(&self, token: &str, now_s: u64) -> Result<VerifiedAccessToken, Refusal> {
        let keys = self.keys.current().await.map_err(refuse::keys)?;
        match self.verify_token_with(token, &keys, now_s) {
            // The issuer may have changed its keys since they were fetched.
            Err(TokenError::UnknownKey) => {
                let newer = self.keys.newer_than(&keys).await;
                let newer = newer.ok_or_else(|| refuse::token(TokenError::UnknownKey))?;
                self.verify_token_with(token, &newer, now_s)
            }
            result => result,
        }
        .map_err(refuse::token)
    }

    fn verify_token_with(
        &self,
        token: &str,
        keys: &Arc<Jwks>,
        now_s: u64,
    ) -> Result<VerifiedAccessToken, TokenError> {
        if let Some(verified) = self.verified.find(token, keys, now_s) {
            return Ok(verified);
        }
        let rules = AccessTokenRules {
            issuer: &self.issuer,
            audience: &self.audience,
            keys,
            now_s,
            leeway_s: LEEWAY_S,
        };
        let verified = verify_access_token(token, &rules)?;
        self.verified.remember(token, &verified, keys);
        Ok(verified)
    }

    fn verify_proof(
        &self,
        credentials: &Credentials<'_>,
        head: &RequestHead<'_>,
        now_s: u64,
    ) -> Result<VerifiedProof, Refusal> {
        let rules = ProofRules {
            method: head.method.as_str(),
            // The path as it was sent: what a proxy or a parser made of it is not what was signed.
            htu: &[&self.audience, head.path].concat(),
            access_token: Some(credentials.token),
            now_s,
            max_age_s: PROOF_MAX_AGE_S,
            leeway_s: LEEWAY_S,
        };
        verify_proof(credentials.proof, &rules).map_err(refuse::proof)
    }

    fn check_nonce(&self, proof: &VerifiedProof, now_s: u64) -> Result<(), Refusal> {
        let is_current = |nonce| self.nonces.is_current(nonce, now_s);
        match proof.nonce() {
            Some(nonce) if is_current(nonce) => Ok(()),
            Some(_) => Err(Refusal::new(
                Code::UseDpopNonce,
                "the nonce in the DPoP proof is not a current one of this enclave",
            )),
            None => Err(Refusal::new(
                Code::UseDpopNonce,
                "the DPoP proof has no nonce",
            )),
        }
    }

    /// Last of all, so that only holders of a verified token can fill the caches.
    fn pass_once(
        &self,
        proof: &VerifiedProof,
        authenticated: &Authenticated,
        now_s: u64,
    ) -> Result<(), Refusal> {
        let (key, expires_s) = (proof.replay_key(), proof.expires_s());
        let holder = *proof.thumbprint().as_bytes();
        // The key's own quota first: what exceeds it must not count against its tenant.
        self.proofs_by_key
            .insert(key, holder, expires_s, now_s)
            .map_err(refuse::replay)?;
        let tenant = Sha256::digest(authenticated.tenant()).into();
        self.proofs_by_tenant
            .insert(key, tenant, expires_s, now_s)
            .map_err(refuse::replay)
    }
}

#[cfg(test)]
pub(crate) mod tests;
