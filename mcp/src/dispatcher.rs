//! From a caller's request to the enclave: exchange, then call.
use std::sync::Arc;

use bytes::Bytes;
use dauth_dispatch::{
    AccessToken, CallBody, CallError, CallRequest, DpopKey, EnclaveClient, TokenClient, TokenError,
};
use dauth_protocol::{
    Code, Handle, RequestPath,
    limit::{MAX_HEADER_BYTES, MAX_HEADER_COUNT, MAX_QUERY_BYTES},
    path::InvalidPath,
};
use http::{HeaderMap, HeaderName, Method, Response};
use hyper::body::Incoming;

use crate::{Caller, token_cache::TokenCache};

/// What an MCP server asks of a connection.
#[derive(Clone, Debug)]
pub struct Call {
    /// The connection's name in the caller's token, or its handle.
    pub connection: String,
    /// The method.
    pub method: Method,
    /// The path below the connection's base URL, from its `/`, and perhaps a query.
    pub path_and_query: String,
    /// Header fields for the upstream. Those that carry credentials or routing are refused here;
    /// of the rest the enclave passes what the policy allows.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

/// Why there is no upstream's reply.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The caller's token has no such connection.
    #[error("the caller's token has no connection {asked:?}; it has {known:?}")]
    NoSuchConnection {
        /// What was asked for.
        asked: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The token names a connection by what is no handle.
    #[error("the caller's token is malformed: connection {0:?} has no valid handle")]
    MalformedHandle(String),
    /// The path is not one that is sent on.
    #[error("the path is refused: {0}")]
    Path(#[from] InvalidPath),
    /// The query is not one that is sent on.
    #[error("the query is too long, or holds a character that must be percent-encoded")]
    Query,
    /// The method is not one that is sent on.
    #[error("the method {0} cannot be dispatched")]
    Method(Method),
    /// A field that could reroute the request or carry another credential.
    #[error("the header {0} cannot be set in a dispatch")]
    Header(HeaderName),
    /// Too many header fields, or too much in them.
    #[error("the header fields are too many or too long")]
    TooManyHeaders,
    /// The caller's token was not exchanged.
    #[error("the caller's token cannot be exchanged: {0}")]
    Exchange(#[source] TokenError),
    /// The enclave refused, or was not reached.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl DispatchError {
    /// The code that says the same to a caller.
    pub fn code(&self) -> Code {
        match self {
            DispatchError::NoSuchConnection { .. } => Code::ConnectionNotFound,
            DispatchError::MalformedHandle(_) => Code::InvalidToken,
            DispatchError::Path(_)
            | DispatchError::Query
            | DispatchError::Method(_)
            | DispatchError::Header(_)
            | DispatchError::TooManyHeaders => Code::InvalidRequest,
            DispatchError::Exchange(TokenError::Refused(_)) => Code::InvalidToken,
            DispatchError::Exchange(_) => Code::EnclaveUnavailable,
            DispatchError::Call(error) => error.code().unwrap_or(match error {
                CallError::Path(_) | CallError::ReservedHeader(_) => Code::InvalidRequest,
                CallError::Token => Code::InvalidToken,
                _ => Code::EnclaveUnavailable,
            }),
        }
    }
}

/// Dispatches for one MCP server: its client credentials, its key, its enclave.
pub struct Dispatcher {
    tokens: TokenClient,
    enclave: EnclaveClient,
    key: Arc<DpopKey>,
    cache: TokenCache,
}

impl Dispatcher {
    /// A dispatcher that exchanges at `tokens`' issuer and proves with `key`.
    pub fn new(tokens: TokenClient, enclave: EnclaveClient, key: Arc<DpopKey>) -> Self {
        Self {
            tokens,
            enclave,
            key,
            cache: TokenCache::default(),
        }
    }

    /// The key that dispatch tokens are bound to.
    pub fn key(&self) -> &DpopKey {
        &self.key
    }

    /// Makes a call on behalf of `caller`. The reply is the upstream's, whatever its status, its
    /// body still streaming.
    pub async fn call(
        &self,
        caller: &Caller,
        call: Call,
    ) -> Result<Response<Incoming>, DispatchError> {
        let handle = resolve(caller, &call.connection)?;
        check(&call)?;
        if let Some(token) = self.cache.get(caller.token_hash()) {
            match self.send(&handle, &call, &token).await {
                // The token may be older than what it speaks of: a connection since rotated, for
                // one. Nothing has gone upstream, so a fresh token may try again.
                Err(DispatchError::Call(error)) if error.code().is_some_and(may_be_stale) => {
                    self.cache.forget(caller.token_hash());
                }
                outcome => return outcome,
            }
        }
        let token = self.exchange(caller).await?;
        self.send(&handle, &call, &token).await
    }

    async fn exchange(&self, caller: &Caller) -> Result<Arc<AccessToken>, DispatchError> {
        let exchanged = self
            .tokens
            .exchange(
                caller.subject_token(),
                self.enclave.resource(),
                None,
                &self.key,
            )
            .await
            .map_err(DispatchError::Exchange)?;
        let token = Arc::new(exchanged);
        self.cache.put(*caller.token_hash(), Arc::clone(&token));
        Ok(token)
    }

    async fn send(
        &self,
        handle: &Handle,
        call: &Call,
        token: &AccessToken,
    ) -> Result<Response<Incoming>, DispatchError> {
        let request = CallRequest {
            handle: handle.clone(),
            method: call.method.clone(),
            path_and_query: call.path_and_query.clone(),
            headers: call.headers.clone(),
            body: CallBody::Bytes(call.body.clone()),
        };
        Ok(self.enclave.call(request, token, &self.key).await?)
    }
}

/// Refusals before anything is dialled that a newer token may not meet. A revoked connection stays
/// revoked: its handle is never given again.
fn may_be_stale(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidToken
            | Code::ConnectionNotFound
            | Code::ConnectionExpired
            | Code::DecryptionFailed
    )
}

/// The handle of a connection that the caller's token has, by name or by itself.
fn resolve(caller: &Caller, connection: &str) -> Result<Handle, DispatchError> {
    let connections = &caller.claims().connections;
    let text = connections
        .get(connection)
        .or_else(|| connections.values().find(|handle| *handle == connection))
        .ok_or_else(|| DispatchError::NoSuchConnection {
            asked: connection.to_owned(),
            known: connections.keys().cloned().collect(),
        })?;
    text.parse()
        .map_err(|_| DispatchError::MalformedHandle(connection.to_owned()))
}

fn check(call: &Call) -> Result<(), DispatchError> {
    let (path, query) = match call.path_and_query.split_once('?') {
        Some((path, query)) => (path, query),
        None => (call.path_and_query.as_str(), ""),
    };
    RequestPath::parse(path)?;
    let in_query = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'<' | b'>' | b'\\');
    if query.len() > MAX_QUERY_BYTES || !query.bytes().all(in_query) {
        return Err(DispatchError::Query);
    }
    if matches!(call.method, Method::CONNECT | Method::TRACE) {
        return Err(DispatchError::Method(call.method.clone()));
    }
    if let Some(name) = call.headers.keys().find(|name| is_refused(name)) {
        return Err(DispatchError::Header(name.clone()));
    }
    let bytes: usize = call
        .headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len())
        .sum();
    if call.headers.len() > MAX_HEADER_COUNT || bytes > MAX_HEADER_BYTES {
        return Err(DispatchError::TooManyHeaders);
    }
    Ok(())
}

/// An error is better than a field that vanishes on the way.
fn is_refused(name: &HeaderName) -> bool {
    const REFUSED: &[&str] = &[
        "authorization",
        "cookie",
        "forwarded",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ];
    REFUSED.contains(&name.as_str())
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("x-dedalus-")
        || !dauth_protocol::header::may_be_permitted(name)
}
