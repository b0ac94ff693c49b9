//! AWS's own builder of images: the oracle of `dauth eif`, in `tests/tests/image.rs`.
//!
//! It is a program and no dependency, since it brings OpenSSL: nothing that DAuth builds is to have
//! a second crypto provider.
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::{Failure, run},
    packages,
};

const VERSION: &str = "eif_build@0.2.1";

/// Builds it into `target/tools`, unless it is there.
pub(crate) fn install() -> Result<(), Failure> {
    let tools = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from("target"), PathBuf::from)
        .join("tools");
    if tools.join("bin/eif_build").is_file() {
        return Ok(());
    }
    if !Path::new("/usr/include/openssl/ssl.h").is_file() {
        packages::install(&["libssl-dev", "pkg-config"])?;
    }
    run(Command::new(env!("CARGO"))
        .args(["install", "--locked", "--debug", "--root"])
        .arg(&tools)
        .arg(VERSION)
        .env("CARGO_TARGET_DIR", tools.join("build")))
}
