//! DPoP at this server: one nonce issuer and one replay cache for all its endpoints.
use aws_lc_rs::digest;
use dauth_token::{
    CredentialsError, NonceIssuer, ProofError, ProofRules, ReplayCache, ReplayError, ReplayLimits,
    VerifiedProof, sole_proof, verify_proof,
};
use http::HeaderMap;

use crate::random::{self, RandomError};

/// How old a proof may be.
const MAX_PROOF_AGE_S: u64 = 60;
/// How far a client's clock may be off.
const LEEWAY_S: u64 = 30;
/// How long a nonce is good at most.
const NONCE_LIFE_S: u64 = 300;
const REPLAY_LIMITS: ReplayLimits = ReplayLimits {
    entries: 1_000_000,
    entries_per_quota: 250_000,
};

pub(crate) struct Dpop {
    nonces: NonceIssuer,
    replays: ReplayCache,
}

/// Why a request's proof does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DpopError {
    #[error(transparent)]
    Field(#[from] CredentialsError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the DPoP proof needs the nonce that this reply carries")]
    Nonce,
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl Dpop {
    pub(crate) fn new(now_s: u64) -> Result<Self, RandomError> {
        // Key and instance are fresh at each start: no nonce, and so no proof, outlives a restart,
        // which is what lets the replay cache be in memory.
        Ok(Self {
            nonces: NonceIssuer::new(&random::bytes()?, random::bytes()?, now_s, NONCE_LIFE_S),
            replays: ReplayCache::new(REPLAY_LIMITS),
        })
    }

    /// The nonce that replies carry now.
    pub(crate) fn nonce(&self, now_s: u64) -> String {
        self.nonces.issue(now_s)
    }

    /// Verifies a request's proof and its nonce. Whether it passes for the first time is for
    /// [`Dpop::admit_once`], when the caller is known.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        method: &str,
        htu: &str,
        access_token: Option<&str>,
        now_s: u64,
    ) -> Result<VerifiedProof, DpopError> {
        let proof = sole_proof(headers.get_all("dpop").iter().map(|field| field.as_bytes()))?;
        let proof = verify_proof(
            proof,
            &ProofRules {
                method,
                htu,
                access_token,
                now_s,
                max_age_s: MAX_PROOF_AGE_S,
                leeway_s: LEEWAY_S,
            },
        )?;
        match proof.nonce() {
            Some(nonce) if self.nonces.is_current(nonce, now_s) => Ok(proof),
            _ => Err(DpopError::Nonce),
        }
    }

    /// Lets a proof pass once; it counts against the quota of `caller`.
    pub(crate) fn admit_once(
        &self,
        proof: &VerifiedProof,
        caller: &str,
        now_s: u64,
    ) -> Result<(), DpopError> {
        let mut quota_id = [0; 32];
        quota_id.copy_from_slice(digest::digest(&digest::SHA256, caller.as_bytes()).as_ref());
        self.replays
            .insert(proof.replay_key(), quota_id, proof.expires_s(), now_s)?;
        Ok(())
    }

    /// How many proofs are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.replays.len()
    }
}
