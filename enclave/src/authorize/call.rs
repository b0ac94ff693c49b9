//! A call, and the proof that it may be made.
use core::ops::Deref;

use dauth_protocol::{Fingerprint, Handle, Owner, Policy, RequestPath};
use http::{HeaderMap, Method};

/// What has passed every check that its type names.
///
/// The one constructor is private to the crate and used where the last check succeeds
/// ([`crate::open`]), so that no other code can produce one.
#[derive(Debug)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    pub(crate) fn by_all_checks(value: T) -> Self {
        Self(value)
    }

    /// What was authorized.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// An authorization without any check.
    #[cfg(test)]
    pub(crate) fn for_tests(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Authorized<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A sealed call: all that the upstream request is made of, but for body and credential.
#[derive(Debug)]
pub struct Call {
    /// The connection.
    pub handle: Handle,
    /// Its owner, as its record names it.
    pub owner: Owner,
    /// Its version, as its record has it: one more with every rotation.
    pub version: u64,
    /// Its record, as the token named it and as it was opened.
    pub fingerprint: Fingerprint,
    /// Its sealed policy, which allows this call.
    pub policy: Policy,
    /// RFC 7638 thumbprint (base64url) of the key that the caller proved.
    pub caller: String,
    /// Resource identifier of the MCP server that calls; none, when the owner does.
    pub server: Option<String>,
    /// `jti` of the caller's token.
    pub token_id: String,
    /// `exp` of the caller's token: Unix seconds.
    pub token_expires_s: u64,
    /// The method.
    pub method: Method,
    /// The path below the policy's base URL, as sent.
    pub path: RequestPath,
    /// The query, as sent, without `?`.
    pub query: Option<String>,
    /// The caller's header fields, unfiltered: [`Policy::passes_upstream`] decides what passes.
    pub headers: HeaderMap,
}
