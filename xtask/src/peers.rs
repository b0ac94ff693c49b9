//! The published verifiers of evidence, `attestation/peers`: outside of the workspace, since they
//! bring a second crypto provider. Their versions are exact; the rest of their lock file follows
//! what `dauth-attestation` depends on.
use crate::command::{Failure, cargo};

const MANIFEST: &str = "attestation/peers/Cargo.toml";

/// The differential test.
pub(crate) fn test() -> Result<(), Failure> {
    cargo(&["test", "--manifest-path", MANIFEST])
}

/// rustfmt and clippy, as for the workspace.
pub(crate) fn lint() -> Result<(), Failure> {
    cargo(&["fmt", "--check", "--manifest-path", MANIFEST])?;
    cargo(&[
        "clippy",
        "--all-targets",
        "--manifest-path",
        MANIFEST,
        "--",
        "--deny",
        "warnings",
    ])
}
