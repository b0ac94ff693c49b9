//! Debian packages that tests need beside Rust and gcc.
use std::{env, path::PathBuf, process::Command};

use crate::command::{Failure, run};

/// A program, and the package that brings it.
const NEEDED: &[(&str, &str)] = &[("cc", "gcc"), ("openssl", "openssl")];

/// Installs what is missing when this is Debian and we are root; else says what to install.
pub(crate) fn install_missing() -> Result<(), Failure> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    install(&missing)
}

/// Installs packages when this is Debian and we are root; else says what to install.
pub(crate) fn install(missing: &[&str]) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|o| o.stdout == b"0\n");
    if !is_root || find("apt-get").is_none() {
        return Err(Failure::new(format!(
            "install first: {}",
            missing.join(" ")
        )));
    }
    run(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(missing))
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}
