//! Access tokens (RFC 9068), DPoP proofs (RFC 9449), key thumbprints (RFC 7638) and key sets
//! (RFC 7517): verification, and minting behind a [`Signer`].
//!
//! This crate is *pure*: no I/O, no clock (time is an argument, in Unix seconds), no randomness
//! but what is passed in, no `unsafe`. A protected resource uses it in this order:
//!
//! 1. [`dpop_credentials`] and [`sole_proof`] take token and proof out of the header fields;
//! 2. [`verify_access_token`] yields a [`VerifiedAccessToken`];
//! 3. [`verify_proof`], with the token, yields a [`VerifiedProof`];
//! 4. [`NonceIssuer::is_current`] judges the proof's nonce;
//! 5. [`VerifiedAccessToken::bind`] yields a [`BoundAccessToken`]: the proof is by the key that the
//!    token names, for this very token;
//! 6. [`ReplayCache::insert`] lets each proof pass once. It comes last, so that only holders of a
//!    verified token can put anything into it.
//!
//! Invariant: a [`VerifiedAccessToken`], [`VerifiedProof`] or [`BoundAccessToken`] has one
//! constructor each, the check itself.
#![forbid(unsafe_code)]

mod access_token;
mod algorithm;
mod authorization;
mod claims;
mod jwk;
mod jwks;
mod jws;
mod mint;
mod nonce;
mod proof;
mod replay;
mod signer;
mod strict_json;

pub use access_token::{
    ACCESS_TOKEN_TYPE, AccessTokenRules, BoundAccessToken, MAX_ACCESS_TOKEN_BYTES, TokenError,
    VerifiedAccessToken, verify_access_token,
};
pub use algorithm::Algorithm;
pub use authorization::{CredentialsError, dpop_credentials, sole_proof};
pub use claims::{AccessClaims, Actor, Confirmation};
pub use jwk::{Jwk, JwkError, Thumbprint};
pub use jwks::{Jwks, JwksError, MAX_JWKS_BYTES, MAX_JWKS_KEYS, NamedJwk};
pub use jws::JwsError;
pub use mint::{MintError, ProofClaims, make_proof, mint_access_token};
pub use nonce::NonceIssuer;
pub use proof::{
    MAX_PROOF_BYTES, PROOF_TYPE, ProofError, ProofRules, VerifiedProof, access_token_hash,
    verify_proof,
};
pub use replay::{ReplayCache, ReplayError, ReplayLimits};
pub use signer::{SignError, Signer};
