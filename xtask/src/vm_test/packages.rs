//! Debian packages that are needed to make the tools, and by nothing else.
use std::process::Command;

use super::Missing;
use crate::{command::Failure, packages};

/// For `packages.sh` and `kernel.sh`.
const FETCH: &[&str] = &["dpkg-dev", "xz-utils", "debian-archive-keyring"];
/// For `qemu.sh`.
const QEMU: &[&str] = &[
    "gcc",
    "libcbor-dev",
    "libfdt-dev",
    "libglib2.0-dev",
    "libgnutls28-dev",
    "ninja-build",
    "patch",
    "pkg-config",
    "python3-venv",
];
/// For the programs of the images.
const GUEST: &[&str] = &["musl-tools", "util-linux"];

/// Installs what is missing to make the machine's tools.
pub(crate) fn to_make_tools() -> Result<(), Failure> {
    packages::install(&missing(&[FETCH, QEMU].concat()))
}

/// Sees to what is missing to build for the guest and to run it.
pub(crate) fn to_boot(then: Missing) -> Result<(), Failure> {
    let missing = missing(GUEST);
    if then == Missing::Skip && !missing.is_empty() {
        return Err(Failure::new(format!("not there: {}", missing.join(", "))));
    }
    packages::install(&missing)
}

/// Those that dpkg does not know as installed.
fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let is_installed = |package: &str| {
        Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .output()
            .is_ok_and(|output| output.stdout == b"installed")
    };
    let missing = packages.iter().filter(|package| !is_installed(package));
    missing.copied().collect()
}
