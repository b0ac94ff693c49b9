//! A key's policy in its file. Whoever changes the file does what `kms:PutKeyPolicy` does.
use std::{fs, io, path::PathBuf};

use super::{error::Refusal, policy::KeyPolicy};

/// A policy as it is in force.
pub struct PolicyInForce {
    /// What it says.
    pub policy: KeyPolicy,
    /// Its JSON, as it was put.
    pub text: String,
}

/// The file.
pub struct PolicyFile(PathBuf);

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is no policy that is simulated.
    #[error("not a key policy that is simulated: {0}")]
    Policy(#[from] serde_json::Error),
}

impl PolicyFile {
    /// The policy in `path`.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads it. This is done for each request: a policy that was changed is in force at once.
    pub fn read(&self) -> Result<PolicyInForce, PolicyFileError> {
        let text = fs::read_to_string(&self.0)?;
        let policy = KeyPolicy::from_json(text.as_bytes())?;
        Ok(PolicyInForce { policy, text })
    }

    /// The same for a request. A file that is damaged, or half written, lets nobody use the key: the
    /// caller may try again.
    pub fn in_force(&self) -> Result<PolicyInForce, Refusal> {
        self.read().map_err(|error| {
            tracing::warn!(file = %self.0.display(), %error, "no use of the key");
            Refusal::internal()
        })
    }
}
