//! An enclave with its wiping taken out, beside the other shipped binaries.
use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use crate::binary;

const SHIPPED: [&str; 3] = ["dauth-control-plane", "dauth-kms-sim", "dauth-parent"];
const ENCLAVE: &str = "dauth-enclave-sim";

/// A folder for `--bin-dir` whose enclave does not wipe; none, if `cargo xtask test` has not built
/// it.
pub fn unwiped_binaries() -> Option<TempDir> {
    let binaries = binary("");
    let unwiped = binaries.join("../unwiped").join(ENCLAVE);
    if !unwiped.exists() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let link = |target: &Path, name: &str| {
        symlink(fs::canonicalize(target).unwrap(), folder.path().join(name)).unwrap();
    };
    link(&unwiped, ENCLAVE);
    for name in SHIPPED {
        link(&binary(name), name);
    }
    Some(folder)
}
