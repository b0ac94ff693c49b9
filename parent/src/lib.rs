//! The parent: the untrusted process on the host that gives an enclave its only ways in and out.
//!
//! It relays bytes to the enclave ([`ingress`]), and serves what the enclave asks of its host
//! ([`host`], the other end of [`dauth_protocol::host`]), egress included ([`egress`]). It holds
//! no key, terminates no TLS and caches nothing: it is trusted with availability alone. Of our
//! crates it depends on `dauth-protocol`, so there is nothing here that could open a record.
//!
//! The egress guard protects the operator's network *from* the enclave's callers. It is no
//! protection of the owner: that is the certificate check inside the enclave.

pub mod configuration;
pub mod egress;
pub mod host;
pub mod ingress;
pub mod metrics;
pub mod monitor;
mod relay;
mod run;
mod slots;
mod stream;

pub use configuration::Configuration;
pub use run::{RunError, run};
