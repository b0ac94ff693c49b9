//! The program `dauth-kms-sim`: what it says when it does not start.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::process::Command;

#[test]
fn a_mistake_is_one_plain_line_whatever_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kms.toml");
    std::fs::write(&file, "# A comment.\nlisten = 1\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dauth-kms-sim"));
    command.arg("--config").arg(file).env("RUST_LOG", "off");
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("dauth-kms-sim: "), "{error}");
    assert!(error.contains("kms.toml:2: invalid type"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
