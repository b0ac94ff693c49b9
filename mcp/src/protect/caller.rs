//! Who a request comes from.
use std::{fmt, sync::Arc};

use dauth_token::{AccessClaims, BoundAccessToken, Thumbprint};
use zeroize::Zeroizing;

/// The verified caller of a request. [`protect`](crate::protect()) and the gateway alone make one.
#[derive(Clone)]
pub struct Caller(Arc<Verified>);

struct Verified {
    claims: AccessClaims,
    holder: Option<Thumbprint>,
    token: Zeroizing<String>,
    token_hash: [u8; 32],
}

impl Caller {
    pub(super) fn new(bound: &BoundAccessToken, token: &str) -> Self {
        Self(Arc::new(Verified {
            claims: bound.claims().clone(),
            holder: Some(bound.holder().clone()),
            token: Zeroizing::new(token.to_owned()),
            token_hash: *bound.hash(),
        }))
    }

    /// A caller whom an authenticated deployment vouches for, and whose token has verified.
    pub(crate) fn vouched(verified: &dauth_token::VerifiedAccessToken, token: &str) -> Self {
        Self(Arc::new(Verified {
            claims: verified.claims().clone(),
            holder: None,
            token: Zeroizing::new(token.to_owned()),
            token_hash: *verified.hash(),
        }))
    }

    /// The verified claims.
    pub fn claims(&self) -> &AccessClaims {
        &self.0.claims
    }

    /// The key that the caller has proven; none where a deployment vouches for its caller.
    pub fn holder(&self) -> Option<&Thumbprint> {
        self.0.holder.as_ref()
    }

    /// The token, for its exchange and for nothing else.
    pub(crate) fn subject_token(&self) -> &str {
        &self.0.token
    }

    /// SHA-256 of the token.
    pub(crate) fn token_hash(&self) -> &[u8; 32] {
        &self.0.token_hash
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("sub", &self.0.claims.sub)
            .field("client_id", &self.0.claims.client_id)
            .finish_non_exhaustive()
    }
}
