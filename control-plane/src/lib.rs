//! The authorization server and vault of sealed records.
//!
//! It says who may use a connection, within the policy that is sealed in the connection's record;
//! it can neither open a record nor widen its policy. A request travels through these modules in
//! this order: `listener` accepts, `routes` dispatches, `clients` and `dpop` (token endpoint) or
//! `owner` (connections and receipts) say who asks, `grant` and `connections_api` decide, `store` keeps.
//! What the parent brings and fetches takes `host_api`.
//!
//! Invariant: no token, secret or proof is logged, and no message of a refusal quotes a request.
//!
//! Invariant: URLs are made of the configured issuer, never of `Host`, `Forwarded` or
//! `X-Forwarded-*`.
#![forbid(unsafe_code)]

mod api_error;
mod app;
mod batch;
mod clients;
mod clock;
mod configuration;
mod connections_api;
mod dpop;
mod form;
mod grant;
mod host_api;
mod identity;
mod listener;
mod metadata;
mod metrics;
mod oauth_error;
mod owner;
mod private_file;
mod random;
mod receipts_api;
mod retention;
mod routes;
mod server;
mod signing_key;
mod store;
mod token_endpoint;

pub use configuration::{
    ClientConfiguration, Configuration, InvalidConfiguration, ReceiptsConfiguration,
};
pub use identity::{Identity, tls_identity};
pub use server::{RunError, Server, run};
pub use store::{RECORD_COLUMN, RECORD_TABLE, StoreError};
