//! One DPoP-bound request (RFC 9449): to a token endpoint, to a protected resource, or through an
//! attested session to the enclave.
//!
//! - [`DpopKey`] is the key that tokens are bound to and proofs are signed with.
//! - [`TokenClient`] gets tokens from one issuer.
//! - [`ResourceClient`] sends requests to a resource of an ordinary web server.
//! - [`EnclaveClient`] sends requests to the enclave, over a session that it keeps.
//!
//! Nonces of the authorization server, of resources and of the enclave are kept apart (RFC 9449
//! sections 8 and 9): each client holds its own. A request is sent again once at most, and only
//! when the refusal says that nothing but the nonce was wrong.
#![forbid(unsafe_code)]

mod access_token;
mod call;
mod discovery;
mod enclave;
mod key;
mod live;
mod nonce;
mod proof;
mod refusal;
mod resource;
mod token_client;
mod token_reply;
pub mod web;

pub use access_token::AccessToken;
pub use call::{CallBody, CallError, CallRequest};
pub use discovery::{AuthorizationServer, DiscoveryError, PublishedEnclave, discover};
pub use enclave::{EnclaveClient, MAX_SESSION_AGE};
pub use key::{DpopKey, DpopKeyError};
pub use live::SessionError;
pub use proof::ProofError;
pub use refusal::DauthRefusal;
pub use resource::{ResourceClient, ResourceError, Stated};
pub use token_client::{ClientCredentials, TokenClient};
pub use token_reply::{OAuthError, TokenError};
