//! A caller that was proved to be who the token says.
use dauth_protocol::{Code, Fingerprint, Handle, Owner, limit::MAX_DISPATCH_TOKEN_LIFE_S};
use dauth_token::{AccessClaims, BoundAccessToken};

use crate::refusal::Refusal;

/// In which role a caller calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The owner of its connections, by a grant in which it took part.
    Owner,
    /// An MCP server, on behalf of the token's subject.
    Server {
        /// The server's resource identifier: `act.sub`.
        resource: String,
        /// Its client id at the issuer.
        client_id: Option<String>,
    },
}

/// A verified token, bound to a key whose holder proved it for this request.
///
/// [`super::Authorizer::authenticate`] alone makes one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    token: BoundAccessToken,
    caller: Caller,
    tenant: String,
}

impl Authenticated {
    /// Reads the caller's role from the claims: exactly one of `ddls:owner` and `act`.
    pub(super) fn from_token(token: BoundAccessToken) -> Result<Self, Refusal> {
        let claims = token.claims();
        let caller = caller(claims)?;
        let tenant = match &claims.org {
            Some(tenant) if !tenant.is_empty() => tenant.clone(),
            _ => return invalid("the access token names no tenant"),
        };
        Ok(Self {
            token,
            caller,
            tenant,
        })
    }

    /// The role.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Resource identifier of the MCP server that calls; none, when the owner does.
    pub fn server(&self) -> Option<&str> {
        match &self.caller {
            Caller::Owner => None,
            Caller::Server { resource, .. } => Some(resource),
        }
    }

    /// The tenant: `ddls:org`.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The token's claims.
    pub fn claims(&self) -> &AccessClaims {
        self.token.claims()
    }

    /// RFC 7638 thumbprint (base64url) of the key that was proved.
    pub fn thumbprint(&self) -> &str {
        self.token.holder().as_str()
    }

    /// Whether the token grants a scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.token.has_scope(scope)
    }

    /// The owner that the caller is, if it is one.
    pub fn owner(&self) -> Option<Owner> {
        match self.caller {
            Caller::Owner => Some(Owner {
                issuer: self.claims().iss.clone(),
                subject: self.claims().sub.clone(),
                thumbprint: self.thumbprint().to_owned(),
            }),
            Caller::Server { .. } => None,
        }
    }

    /// The record that the token authorizes for a handle.
    pub fn fingerprint(&self, handle: &Handle) -> Option<Fingerprint> {
        self.claims()
            .fingerprints
            .get(handle.as_str())?
            .parse()
            .ok()
    }
}

fn caller(claims: &AccessClaims) -> Result<Caller, Refusal> {
    match (&claims.act, claims.owner) {
        (None, true) => Ok(Caller::Owner),
        (Some(_), false) if claims.exp - claims.iat.min(claims.exp) > MAX_DISPATCH_TOKEN_LIFE_S => {
            invalid("the dispatch token lives longer than two minutes")
        }
        (Some(actor), false) if !actor.sub.is_empty() => Ok(Caller::Server {
            resource: actor.sub.clone(),
            client_id: actor.client_id.clone(),
        }),
        (Some(_), false) => invalid("the access token names no actor in act"),
        // An exchange never yields an owner's token: this one was not made by our issuer's rules.
        (Some(_), true) => invalid("the access token is both an owner's and a server's"),
        (None, false) => invalid("the access token is neither an owner's nor a server's"),
    }
}

fn invalid<T>(detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(Code::InvalidToken, detail))
}
