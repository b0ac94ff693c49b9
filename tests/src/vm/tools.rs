//! What `cargo xtask vm-test` found or built.
use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Names the file of [`Tools`].
const VARIABLE: &str = "DAUTH_VM_TOOLS";

/// Paths of programs and files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// QEMU with the nitro-enclave machine.
    pub qemu: PathBuf,
    /// The folder of its firmware.
    pub firmware: PathBuf,
    /// vhost-device-vsock.
    pub vsock_device: PathBuf,
    /// The guest's kernel.
    pub kernel: PathBuf,
    /// The folder of its modules, which are loaded in the order of their names.
    pub modules: PathBuf,
    /// `dauth-init`, for the guest.
    pub init: PathBuf,
    /// `dauth-enclave`, for the guest: what is released.
    pub enclave: PathBuf,
    /// `dauth-enclave-sim`, for the guest.
    pub enclave_sim: PathBuf,
    /// `dauth-nsm-probe`, for the guest.
    pub nsm_probe: PathBuf,
}

impl Tools {
    /// The tools of this run of `cargo xtask vm-test`.
    pub fn of_this_run() -> (Self, PathBuf) {
        let file = env::var_os(VARIABLE);
        let file = PathBuf::from(file.expect("cargo xtask vm-test runs this test"));
        (Self::load(&file), file)
    }

    /// Reads the file of tools.
    pub fn load(file: &Path) -> Self {
        toml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }

    /// The modules, in the order of their names.
    pub fn modules(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.modules).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}
