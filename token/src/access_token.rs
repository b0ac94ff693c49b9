//! Access tokens: JWT by the profile of RFC 9068.
use core::fmt;

use aws_lc_rs::{constant_time, digest};
use serde_json::Value;

use crate::{
    AccessClaims, Jwks, JwsError, Thumbprint, VerifiedProof,
    jws::{Kind, UnverifiedJws},
};

/// `typ` of an access token (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// An access token, as text. It travels in a header field, so it cannot be much longer.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 24 * 1024;
const MAX_IDENTIFIER_BYTES: usize = 2048;
const MAX_JTI_BYTES: usize = 256;

const KIND: Kind = Kind {
    typ: ACCESS_TOKEN_TYPE,
    max_bytes: MAX_ACCESS_TOKEN_BYTES,
    // A key in the header would let a token bring the key that it is verified with.
    refused: &["jwk"],
};

/// What an access token is checked against.
#[derive(Clone, Copy, Debug)]
pub struct AccessTokenRules<'a> {
    /// The issuer, compared byte for byte.
    pub issuer: &'a str,
    /// The resource that checks, compared byte for byte.
    pub audience: &'a str,
    /// The issuer's keys.
    pub keys: &'a Jwks,
    /// Now: Unix seconds.
    pub now_s: u64,
    /// How far the issuer's clock may be off.
    pub leeway_s: u64,
}

/// Why an access token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its form, header or signature.
    #[error("the access token is not acceptable: {0}")]
    Jws(#[from] JwsError),
    /// `kid` is missing or not a string.
    #[error("the access token names no key")]
    NoKeyId,
    /// `kid` names no key of the issuer. It may be new: fetch the keys again, at a bounded rate.
    #[error("the access token names a key that the issuer does not have")]
    UnknownKey,
    /// A required claim is missing, of another type, empty or too long.
    #[error("a claim of the access token is missing or malformed")]
    Claims,
    /// By another issuer.
    #[error("the access token is by another issuer")]
    Issuer,
    /// For another resource.
    #[error("the access token is for another resource")]
    Audience,
    /// Past `exp`.
    #[error("the access token has expired")]
    Expired,
    /// `iat` or `nbf` lies ahead, or `exp` is not after `iat`.
    #[error("the access token is not valid yet")]
    NotYetValid,
    /// It has no `cnf`, so nobody can prove to be its holder.
    #[error("the access token is not bound to a key")]
    Unbound,
    /// The proof is by another key than `cnf.jkt`.
    #[error("the DPoP proof is by another key than the access token's")]
    OtherKey,
    /// The proof was not verified together with this token.
    #[error("the DPoP proof is for another access token")]
    OtherToken,
}

/// An access token that verified. [`verify_access_token`] alone makes one.
#[derive(Clone)]
pub struct VerifiedAccessToken {
    claims: AccessClaims,
    hash: [u8; 32],
}

/// Verifies an access token (RFC 9068 section 4).
///
/// The holder is not known yet: that takes [`VerifiedAccessToken::bind`].
pub fn verify_access_token(
    token: &str,
    rules: &AccessTokenRules<'_>,
) -> Result<VerifiedAccessToken, TokenError> {
    let jws = UnverifiedJws::parse(token, &KIND)?;
    let kid = jws
        .parameter("kid")
        .and_then(Value::as_str)
        .ok_or(TokenError::NoKeyId)?;
    let key = rules.keys.key(kid).ok_or(TokenError::UnknownKey)?;
    let payload = jws.verify(key)?;
    let claims: AccessClaims =
        serde_json::from_value(Value::Object(payload)).map_err(|_| TokenError::Claims)?;
    check_form(&claims)?;
    if claims.iss != rules.issuer {
        return Err(TokenError::Issuer);
    }
    if claims.aud != rules.audience {
        return Err(TokenError::Audience);
    }
    if rules.now_s >= claims.exp.saturating_add(rules.leeway_s) {
        return Err(TokenError::Expired);
    }
    let starts = claims.nbf.unwrap_or(0).max(claims.iat);
    if starts > rules.now_s.saturating_add(rules.leeway_s) || claims.exp <= claims.iat {
        return Err(TokenError::NotYetValid);
    }
    Ok(VerifiedAccessToken {
        claims,
        hash: sha256(token.as_bytes()),
    })
}

fn check_form(claims: &AccessClaims) -> Result<(), TokenError> {
    let identifiers = [&claims.iss, &claims.sub, &claims.aud, &claims.client_id];
    let fits = |text: &String, max: usize| (1..=max).contains(&text.len());
    if identifiers
        .iter()
        .all(|text| fits(text, MAX_IDENTIFIER_BYTES))
        && fits(&claims.jti, MAX_JTI_BYTES)
    {
        Ok(())
    } else {
        Err(TokenError::Claims)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

impl VerifiedAccessToken {
    /// The claims.
    pub fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// Whether the token grants a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.claims.has_scope(scope)
    }

    /// SHA-256 of the token: a name for it that opens nothing.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Joins the token with a proof: by the key of `cnf.jkt`, with the `ath` of this token
    /// (RFC 9449 section 7.1).
    pub fn bind(self, proof: &VerifiedProof) -> Result<BoundAccessToken, TokenError> {
        let confirmation = self.claims.cnf.as_ref().ok_or(TokenError::Unbound)?;
        let holder = proof.thumbprint().clone();
        if constant_time::verify_slices_are_equal(
            confirmation.jkt.as_bytes(),
            holder.as_str().as_bytes(),
        )
        .is_err()
        {
            return Err(TokenError::OtherKey);
        }
        if proof.access_token_hash() != Some(&self.hash) {
            return Err(TokenError::OtherToken);
        }
        Ok(BoundAccessToken {
            token: self,
            holder,
        })
    }
}

impl fmt::Debug for VerifiedAccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedAccessToken(jti {:?})", self.claims.jti)
    }
}

/// A verified access token whose holder is proven. [`VerifiedAccessToken::bind`] alone makes one.
#[derive(Clone, Debug)]
pub struct BoundAccessToken {
    token: VerifiedAccessToken,
    holder: Thumbprint,
}

impl BoundAccessToken {
    /// The claims.
    pub fn claims(&self) -> &AccessClaims {
        self.token.claims()
    }

    /// Whether the token grants a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.token.has_scope(scope)
    }

    /// The key that its holder proved.
    pub fn holder(&self) -> &Thumbprint {
        &self.holder
    }

    /// SHA-256 of the token.
    pub fn hash(&self) -> &[u8; 32] {
        self.token.hash()
    }
}
