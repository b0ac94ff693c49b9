//! The verifier's test vectors, `attestation/vectors`. A test of the generator compares them.
use crate::command::{Failure, cargo};

/// Writes them again: the same bytes, unless a case or the generator has changed.
pub(crate) fn write() -> Result<(), Failure> {
    cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "dauth-attestation-vectors",
    ])
}
