//! What a reviewer should not have to look for.
use std::{path::Path, process::Command};

use crate::{
    command::{self, Failure, cargo},
    peers,
};

pub(crate) fn run() -> Result<(), Failure> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ])?;
    // What `cargo xtask vm-test` runs is no test of `cargo test`, so it is no part of all targets.
    cargo(&[
        "clippy",
        "--package",
        "dauth-tests",
        "--test",
        "vm",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ])?;
    // What only a feature brings in: nothing of the workspace enables it.
    cargo(&[
        "clippy",
        "--package",
        "dauth-attestation",
        "--all-targets",
        "--features",
        "rust-crypto",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ])?;
    check_wasm()?;
    command::run(
        Command::new(env!("CARGO"))
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    peers::lint()?;
    if Command::new("cargo-deny").arg("--version").output().is_ok() {
        // The advisory database is fetched from the network; the rest is checked offline.
        cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])?;
    } else {
        println!("xtask: cargo-deny is not installed: deny.toml was not checked");
    }
    Ok(())
}

const WASM: &str = "wasm32-unknown-unknown";

/// The verifier builds for browsers.
fn check_wasm() -> Result<(), Failure> {
    if !has_wasm() {
        // Without rustup, or without a network, there is nothing to add it from.
        let added = command::run(Command::new("rustup").args(["target", "add", WASM]));
        if added.is_err() || !has_wasm() {
            println!("xtask: {WASM} is not installed: the verifier was not checked for it");
            return Ok(());
        }
    }
    cargo(&[
        "check",
        "--package",
        "dauth-attestation",
        "--no-default-features",
        "--features",
        "rust-crypto",
        "--target",
        WASM,
        "--locked",
    ])
}

/// Whether the compiler that Cargo calls has the standard library of the target.
fn has_wasm() -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(compiler)
        .args(["--print", "target-libdir", "--target", WASM])
        .output()
        .is_ok_and(|output| {
            let folder = String::from_utf8_lossy(&output.stdout);
            output.status.success() && Path::new(folder.trim()).is_dir()
        })
}
