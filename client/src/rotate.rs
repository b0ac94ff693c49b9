//! Changes of a connection under the same handle.
use std::time::Duration;

use crate::PolicyParts;

/// A new credential for a connection, under its policy or another.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// What becomes of the policy.
    pub policy: PolicyChange,
    /// How long the connection is usable from now.
    pub life: Duration,
}

/// What becomes of a connection's policy.
#[derive(Clone, Debug)]
pub enum PolicyChange {
    /// It stays, byte for byte as far as its meaning goes; pinned keys stay pinned.
    Keep,
    /// It is replaced; the servers' keys are looked up anew.
    Replace(Box<PolicyParts>),
}
