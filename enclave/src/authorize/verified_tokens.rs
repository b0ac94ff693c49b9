//! Access tokens that have verified, so that the next call with one costs no second verification.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dauth_token::{Jwks, VerifiedAccessToken};
use sha2::{Digest, Sha256};

/// Tokens that are remembered at a time.
const MAX_TOKENS: usize = 1024;
/// Longer tokens are verified each time: with the bound above, this keeps to a few megabytes.
const MAX_TOKEN_BYTES: usize = 4 * 1024;

/// Verified tokens by their hash. What is found is as good as verified now: under the very key set
/// that is current, and not expired.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<Tokens>);

#[derive(Default)]
struct Tokens {
    by_hash: HashMap<[u8; 32], (VerifiedAccessToken, Arc<Jwks>)>,
    by_age: VecDeque<[u8; 32]>,
}

impl VerifiedTokens {
    /// The token, if it verified under `keys` and has not expired.
    ///
    /// Issuer and audience cannot have changed: they are measured. No leeway is given here; a token
    /// within it is verified again.
    pub(super) fn find(
        &self,
        token: &str,
        keys: &Arc<Jwks>,
        now_s: u64,
    ) -> Option<VerifiedAccessToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let tokens = self.lock();
        let (verified, verified_under) = tokens.by_hash.get(&hash(token))?;
        let is_valid = (verified.claims().iat..verified.claims().exp).contains(&now_s)
            && verified.claims().nbf.is_none_or(|nbf| nbf <= now_s);
        (is_valid && Arc::ptr_eq(verified_under, keys)).then(|| verified.clone())
    }

    pub(super) fn remember(&self, token: &str, verified: &VerifiedAccessToken, keys: &Arc<Jwks>) {
        if token.len() > MAX_TOKEN_BYTES {
            return;
        }
        let hash = hash(token);
        let mut tokens = self.lock();
        let entry = (verified.clone(), Arc::clone(keys));
        if tokens.by_hash.insert(hash, entry).is_none() {
            tokens.by_age.push_back(hash);
        }
        // Forgetting one costs a verification and opens nothing.
        if tokens.by_age.len() > MAX_TOKENS
            && let Some(oldest) = tokens.by_age.pop_front()
        {
            tokens.by_hash.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use dauth_token::{AccessTokenRules, NamedJwk, Signer, verify_access_token};

    use super::*;
    use crate::authorize::tests::fixture::*;

    fn verified(parties: &Parties, token: &str) -> (VerifiedAccessToken, Arc<Jwks>) {
        let keys = Arc::new(Jwks::new(vec![NamedJwk {
            kid: "k1".into(),
            key: parties.issuer.jwk().clone(),
        }]));
        let rules = AccessTokenRules {
            issuer: ISSUER,
            audience: AUDIENCE,
            keys: &keys,
            now_s: NOW_S,
            leeway_s: 0,
        };
        (
            verify_access_token(token, &rules).unwrap(),
            Arc::clone(&keys),
        )
    }

    #[test]
    fn a_token_is_found_under_its_keys_while_it_is_valid() {
        let parties = Parties::new();
        let claims = parties.owner_claims();
        let token = parties.token(&claims);
        let (token_verified, keys) = verified(&parties, &token);
        let tokens = VerifiedTokens::default();
        assert!(tokens.find(&token, &keys, NOW_S).is_none());
        tokens.remember(&token, &token_verified, &keys);
        assert!(tokens.find(&token, &keys, NOW_S).is_some());
        assert!(tokens.find(&token, &keys, claims.exp - 1).is_some());
        assert!(tokens.find(&token, &keys, claims.exp).is_none(), "expired");
        assert!(
            tokens.find(&token, &keys, claims.iat - 1).is_none(),
            "early"
        );
        let newer = Arc::new(Jwks::clone(&keys));
        assert!(tokens.find(&token, &newer, NOW_S).is_none(), "newer keys");
        let other = parties.token(&claims);
        assert!(
            tokens.find(&other, &keys, NOW_S).is_none(),
            "another signature"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let parties = Parties::new();
        let token = parties.token(&parties.owner_claims());
        let (token_verified, keys) = verified(&parties, &token);
        let tokens = VerifiedTokens::default();
        for number in 0..=MAX_TOKENS {
            tokens.remember(&number.to_string(), &token_verified, &keys);
        }
        assert_eq!(tokens.lock().by_hash.len(), MAX_TOKENS);
        assert!(tokens.find("0", &keys, NOW_S).is_none());
        assert!(tokens.find("1", &keys, NOW_S).is_some());
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        tokens.remember(&long, &token_verified, &keys);
        assert!(tokens.find(&long, &keys, NOW_S).is_none());
    }
}
