//! What a token request is granted.
mod client_credentials;
mod exchange;

use std::collections::BTreeMap;

use dauth_token::{AccessClaims, Thumbprint};

use crate::{
    app::App,
    clients::Client,
    form::Form,
    oauth_error::{ErrorCode, OAuthError},
    store::Connection,
};

/// The grants that there are, as metadata lists them.
pub(crate) const GRANT_TYPES: [&str; 2] = [CLIENT_CREDENTIALS, TOKEN_EXCHANGE];
const CLIENT_CREDENTIALS: &str = "client_credentials";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// An authenticated request whose proof has been verified.
pub(crate) struct Request<'a> {
    pub(crate) client: &'a Client,
    pub(crate) form: &'a Form,
    pub(crate) holder: &'a Thumbprint,
    pub(crate) now_s: u64,
}

/// What is granted.
pub(crate) struct Granted {
    pub(crate) grant_type: &'static str,
    pub(crate) claims: AccessClaims,
    pub(crate) issued_token_type: Option<&'static str>,
}

/// Decides on a request by its `grant_type`.
pub(crate) async fn decide(app: &App, request: &Request<'_>) -> Result<Granted, OAuthError> {
    match request.form.get("grant_type") {
        Some(CLIENT_CREDENTIALS) => client_credentials::decide(app, request).await,
        Some(TOKEN_EXCHANGE) => exchange::decide(app, request).await,
        Some(_) => Err(OAuthError::new(
            ErrorCode::UnsupportedGrantType,
            "this server has no such grant type",
        )),
        None => Err(OAuthError::new(
            ErrorCode::InvalidRequest,
            "grant_type is missing",
        )),
    }
}

impl<'a> Request<'a> {
    /// The one resource that is asked for (RFC 8707), byte for byte.
    fn resource(&self) -> Result<Option<&'a str>, OAuthError> {
        match self.form.resources() {
            [] => Ok(None),
            [resource] => Ok(Some(resource)),
            _ => Err(OAuthError::new(
                ErrorCode::InvalidTarget,
                "a token is for one resource; ask for one at a time",
            )),
        }
    }

    /// The scopes asked for, all of which must be among `allowed`; all of `allowed` when none is
    /// asked.
    fn scope(&self, allowed: &[&str]) -> Result<Option<String>, OAuthError> {
        let join = |scopes: &[&str]| (!scopes.is_empty()).then(|| scopes.join(" "));
        let Some(asked) = self.form.get("scope") else {
            return Ok(join(allowed));
        };
        let asked: Vec<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
        if asked.iter().all(|scope| allowed.contains(scope)) {
            Ok(join(&asked))
        } else {
            Err(OAuthError::new(
                ErrorCode::InvalidScope,
                "a scope is asked for that may not be given",
            ))
        }
    }
}

/// `ddls:connections`: a name stands for the newest connection that has it; an older one of the
/// same name is listed under its handle, so that none is left out.
fn by_name(newest_first: &[Connection]) -> BTreeMap<String, String> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for connection in newest_first {
        let is_taken = named.contains_key(&connection.name);
        let name = if is_taken {
            &connection.handle
        } else {
            &connection.name
        };
        named.insert(name.clone(), connection.handle.clone());
    }
    named
}

/// `ddls:fingerprints`.
fn fingerprints(connections: &[Connection]) -> BTreeMap<String, String> {
    connections
        .iter()
        .map(|connection| (connection.handle.clone(), connection.fingerprint.clone()))
        .collect()
}
