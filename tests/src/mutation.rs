//! An enclave with a fault in it, beside the other shipped binaries.
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use tempfile::TempDir;

use crate::binary;

const SHIPPED: [&str; 3] = ["dauth-control-plane", "dauth-kms-sim", "dauth-parent"];
const ENCLAVE: &str = "dauth-enclave-sim";

/// A folder for `--bin-dir` whose enclave has this fault (`enclave/src/mutation.rs`); `cargo xtask
/// test` builds it.
pub fn mutated_binaries(mutation: &str) -> TempDir {
    let mutated = binary("mutations").join(ENCLAVE);
    let mutated = fs::canonicalize(mutated).unwrap_or_else(|_| {
        panic!("no enclave with mutations: `cargo xtask mutations [--release]` builds it")
    });
    let folder = tempfile::tempdir().unwrap();
    for name in SHIPPED {
        let target = fs::canonicalize(binary(name)).unwrap();
        symlink(target, folder.path().join(name)).unwrap();
    }
    write_launcher(&folder.path().join(ENCLAVE), &mutated, mutation);
    folder
}

/// `dauth simulate` starts the enclave with an empty environment: what names the fault is set here.
fn write_launcher(at: &Path, program: &Path, mutation: &str) {
    let program = program.display();
    let script = format!("#!/bin/sh\nDAUTH_MUTATION={mutation} exec '{program}' \"$@\"\n");
    fs::write(at, script).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
}
