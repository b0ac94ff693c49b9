//! The parent: the untrusted process on the host that gives an enclave its only ways in and out.
//!
//! It starts enclaves and keeps them running, relays bytes to them ([`ingress`]), and serves what
//! they ask of their host ([`host`], the other end of [`dauth_protocol::host`]), egress included
//! ([`egress`]). It holds
//! no key, terminates no TLS and caches nothing: it is trusted with availability alone. Of our
//! crates it depends on `dauth-protocol`, so there is nothing here that could open a record.
//!
//! The egress guard protects the operator's network *from* the enclave's callers. It is no
//! protection of the owner: that is the certificate check inside the enclave.

pub mod configuration;
pub mod egress;
mod fleet;
pub mod host;
pub mod ingress;
mod live;
pub mod metrics;
pub mod monitor;
pub mod process;
mod relay;
mod reload;
mod run;
mod slots;
mod stream;
mod supervisor;
pub mod systemd;

pub use configuration::Configuration;
pub use reload::{Applied, Reloader};
pub use run::{Parent, RunError, run};
