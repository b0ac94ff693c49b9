//! An enclave with faults to choose from, built for the memory-scan test to see itself fail.
//!
//! `cfg(mutations)` is no feature: no manifest can switch it on. It is passed to the compiler by a
//! wrapper around rustc (this program), for the workspace's own crates.
use std::{
    env,
    ffi::OsString,
    fs, io,
    process::{Command, ExitCode},
};

use crate::{
    command::{Failure, run},
    profile::Profile,
};

/// The program that is mutated.
const BINARY: &str = "dauth-enclave-sim";
/// Set for the build below; its presence is how this program knows that it is called as a wrapper.
const MARK: &str = "DAUTH_XTASK_MUTATIONS";

/// The compiler to call, when Cargo called this program as `RUSTC_WORKSPACE_WRAPPER`.
pub(crate) fn compiler_of_this_call() -> Option<OsString> {
    env::var_os(MARK)?;
    env::args_os().nth(1)
}

/// Calls the compiler as Cargo asked, with the mutations.
pub(crate) fn compile(compiler: &OsString) -> ExitCode {
    let status = Command::new(compiler)
        .args(env::args_os().skip(2))
        .args(["--cfg", "mutations"])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Builds the simulated enclave with the faults and leaves it at
/// `mutations/dauth-enclave-sim` in the profile's folder.
///
/// The build shares its dependencies with the ordinary one, which must come after it: the two put
/// their binary at the same place.
pub(crate) fn build(profile: Profile) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(format!("the enclave with mutations: {error}"));
    let this = env::current_exe().map_err(failed)?;
    run(Command::new(env!("CARGO"))
        .args([
            "build",
            "--package",
            "dauth-simulator",
            "--bin",
            BINARY,
            "--locked",
        ])
        .args(profile.options())
        .env("RUSTC_WORKSPACE_WRAPPER", &this)
        .env(MARK, "1"))?;
    // Cargo put this program into the folder of another profile, maybe.
    let folder = this.with_file_name("..").join(profile.folder());
    let mutated = folder.join("mutations");
    fs::create_dir_all(&mutated).map_err(failed)?;
    fs::copy(folder.join(BINARY), mutated.join(BINARY)).map_err(failed)?;
    Ok(())
}
