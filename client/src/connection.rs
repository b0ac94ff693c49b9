//! Connections: as they are asked for, and as the control plane lists them.
use std::time::Duration;

use dauth_protocol::{
    BaseUrl, Fingerprint, Handle, Injection, Policy, Rule,
    limit::DEFAULT_RECORD_LIFE_S,
    policy::{Limits, PermittedServer},
};
use serde::{Deserialize, Serialize};

/// A connection to be made.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// What its owner calls it.
    pub name: String,
    /// What it may be used for.
    pub policy: PolicyParts,
    /// How long it is usable.
    pub life: Duration,
}

impl NewConnection {
    /// The life of a connection when its owner asks for none: 30 days.
    pub const DEFAULT_LIFE: Duration = Duration::from_secs(DEFAULT_RECORD_LIFE_S);
}

/// The parts of a policy that its owner chooses; the servers' keys are looked up.
#[derive(Clone, Debug)]
pub struct PolicyParts {
    /// Where calls go.
    pub base_url: BaseUrl,
    /// How the credential enters a request.
    pub injection: Injection,
    /// What may be called. Nothing, when empty.
    pub rules: Vec<Rule>,
    /// Request header fields that pass upstream beside the usual ones; lower case.
    pub request_headers: Vec<String>,
    /// Bounds on each call.
    pub limits: Limits,
    /// Resource identifiers of the MCP servers that may use it, byte for byte.
    pub servers: Vec<String>,
    /// Whether the servers' keys become part of the policy.
    pub pinning: Pinning,
}

/// Whether the keys of permitted servers become part of the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The keys that each server publishes now, and no others.
    #[default]
    Pinned,
    /// Whatever key the control plane says is the server's: it could then stand in for it.
    Unpinned,
}

impl PolicyParts {
    /// The policy, with the servers as looked up.
    pub(crate) fn with_servers(&self, servers: Vec<PermittedServer>) -> Policy {
        Policy {
            version: 1,
            base_url: self.base_url.clone(),
            injection: self.injection.clone(),
            rules: self.rules.clone(),
            servers,
            request_headers: self.request_headers.clone(),
            limits: self.limits,
        }
    }
}

/// A connection, as the control plane lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its handle.
    pub handle: Handle,
    /// What its owner calls it.
    pub name: String,
    /// Where its calls go: for display, the sealed policy decides.
    pub base_url: String,
    /// Which servers may use it: for display, the sealed policy decides.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Grows with every rotation.
    pub version: u64,
    /// SHA-256 of its record.
    pub fingerprint: Fingerprint,
    /// When it was made: Unix seconds.
    pub created: u64,
    /// When it stops being usable: Unix seconds.
    pub expires: u64,
    /// When it was revoked: Unix seconds.
    #[serde(default)]
    pub revoked: Option<u64>,
}
