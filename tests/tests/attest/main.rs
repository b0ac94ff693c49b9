//! `dauth attest`: real documents of AWS, generated ones, documents of a stack, and each way to be
//! refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod fetch;
mod real;
mod vectors;

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use dauth_tests::binary;

fn attest(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(binary("dauth"))
        .arg("attest")
        .args(arguments)
        .env_remove("DAUTH_PROFILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn verify(file: &Path, options: &[&str]) -> Output {
    attest(
        &[&["verify", file.to_str().unwrap()][..], options].concat(),
        b"",
    )
}

#[track_caller]
fn accepted(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Refused with one sentence on stderr, and nothing on stdout that could pass for a result.
#[track_caller]
fn refused(output: &Output, because: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(because), "{stderr}");
}

#[track_caller]
fn misused(output: &Output, because: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(stderr.contains(because), "{stderr}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    misused(&attest(&["verify"], b""), "FILE");
    for (option, value) in [
        ("--at", "yesterday"),
        ("--nonce", "xyz"),
        ("--pcr", "0"),
        ("--pcr", "32=00"),
        ("--pcr", "0=00"),
        ("--max-age", "soon"),
    ] {
        misused(&attest(&["verify", "-", option, value], b""), option);
    }
    misused(&attest(&["fetch"], b""), "profile");
    refused(&attest(&["verify", "no-such-file"], b""), "no-such-file");
}
