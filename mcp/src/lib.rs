//! For MCP servers: protect a resource, exchange its callers' tokens, dispatch through the enclave.
//!
//! A server that uses this crate never holds a person's credential. [`protect()`] lets in requests
//! with a DPoP-bound token for this very resource and hands each handler a [`Caller`]. A
//! [`Dispatcher`] exchanges the caller's token for a dispatch token, bound to the server's own key,
//! and asks the enclave to make the call. The caller's token goes to the token endpoint alone.
//!
//! [`gateway`] is the same for servers in other languages: one HTTP endpoint, `POST /dispatch`.
#![forbid(unsafe_code)]

pub mod configuration;
pub mod gateway;

mod clock;
mod dispatcher;
mod issuer;
mod protect;
mod resource;
#[cfg(test)]
mod test_issuer;
mod token_cache;

pub use dispatcher::{Call, DispatchError, Dispatcher};
pub use issuer::{IssuerError, IssuerKeys};
pub use protect::{Caller, DpopNonces, ProtectedResource, SetupError, protect};
pub use resource::{InvalidResource, ResourceUri};
