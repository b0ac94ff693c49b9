//! What a reviewer should not have to look for.
use std::process::Command;

use crate::command::{self, Failure, cargo};

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
    if Command::new("cargo-deny").arg("--version").output().is_ok() {
        // The advisory database is fetched from the network; the rest is checked offline.
        cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])?;
    } else {
        println!("xtask: cargo-deny is not installed: deny.toml was not checked");
    }
    Ok(())
}
