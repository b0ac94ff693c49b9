//! `dauth attest`: real documents of AWS, documents of a stack, and each way to be refused.
//!
//! Every single-bit change of the real documents is refused in `attestation/tests/suite/real.rs`;
//! here a sample of them goes through the program.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use dauth_tests::{Stack, binary};
use serde_json::Value;

/// A real document that was made by an enclave in production, and a time inside its window.
const PRODUCTION: [(&str, &str); 2] = [
    ("real-2022-10.cbor", "2022-10-13T09:00:00Z"),
    ("real-2024-11-b.cbor", "2024-11-05T08:00:00Z"),
];
/// The same of enclaves in debug mode: their PCR0 to 2 are zero.
const DEBUG: [(&str, &str); 3] = [
    ("real-2023-09.cbor", "2023-09-18T15:10:00Z"),
    ("real-2024-11-a.cbor", "2024-11-14T23:46:40Z"),
    ("debug-mode-2022-10.cbor", "2022-10-12T14:00:00Z"),
];
const PCR0_OF_2022_10: &str = "f4d48b81a460c9916d1e685119074bf24660afd3e34fae9fca0a0d28d9d5599936332687e6f66fc890ac8cf150142d8b";

/// A document of the folder beside the project, or `None` after saying that it is absent.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn vector(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/attestation");
    let file = folder.join(name);
    if file.is_file() {
        return Some(file);
    }
    eprintln!("SKIPPED: ../shared is absent, so {name} was not verified");
    None
}

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
fn real_documents_are_accepted_inside_their_window_and_there_alone() {
    for (name, at) in PRODUCTION {
        let Some(file) = vector(name) else { return };
        let text = accepted(&verify(&file, &["--at", at]));
        assert!(text.contains("PCR0") && text.contains("SHA384"), "{text}");
        refused(&verify(&file, &[]), "is not valid after");
        refused(
            &verify(&file, &["--at", "2020-01-01T00:00:00Z"]),
            "is not valid before",
        );
    }
}

#[test]
fn documents_of_debug_mode_are_refused_unless_asked_for() {
    for (name, at) in DEBUG {
        let Some(file) = vector(name) else { return };
        refused(&verify(&file, &["--at", at]), "debug mode");
        accepted(&verify(&file, &["--at", at, "--allow-debug"]));
        // What is asked for is debug mode, not a document out of its window.
        refused(&verify(&file, &["--allow-debug"]), "is not valid after");
    }
}

#[test]
fn pins_are_compared() {
    let (name, at) = PRODUCTION[0];
    let Some(file) = vector(name) else { return };
    let pinned = format!("0={PCR0_OF_2022_10}");
    let text = accepted(&verify(&file, &["--at", at, "--pcr", &pinned, "--json"]));
    let nonce = serde_json::from_str::<Value>(&text).unwrap()["nonce"]
        .as_str()
        .unwrap()
        .to_owned();
    accepted(&verify(&file, &["--at", at, "--nonce", &nonce]));
    refused(&verify(&file, &["--at", at, "--nonce", "00"]), "nonce");
    let other = format!("0={}", "5a".repeat(48));
    refused(&verify(&file, &["--at", at, "--pcr", &other]), "PCR0");
    // Of several pins each must hold.
    let second = format!("1={}", "5a".repeat(48));
    refused(
        &verify(&file, &["--at", at, "--pcr", &pinned, "--pcr", &second]),
        "PCR1",
    );
    accepted(&verify(&file, &["--at", at, "--max-age", "5m"]));
    refused(
        &verify(&file, &["--at", "2022-10-13T11:00:00Z", "--max-age", "5m"]),
        "too old",
    );
}

#[test]
fn base64_and_standard_input_are_read() {
    let (name, at) = PRODUCTION[0];
    let Some(file) = vector(name) else { return };
    let document = fs::read(&file).unwrap();
    let encoded = STANDARD.encode(&document);
    for input in [
        document.as_slice(),
        encoded.as_bytes(),
        format!("{encoded}\n").as_bytes(),
    ] {
        let text = accepted(&attest(&["verify", "-", "--at", at], input));
        assert!(text.contains(PCR0_OF_2022_10), "{text}");
    }
    refused(&attest(&["verify", "-", "--at", at], b""), "refused");
    refused(&attest(&["verify", "-", "--at", at], b"not a document"), "");
}

#[test]
fn a_result_as_json_has_every_field() {
    let (name, at) = PRODUCTION[0];
    let Some(file) = vector(name) else { return };
    let text = accepted(&verify(&file, &["--at", at, "--json"]));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["module_id"], "i-020b6af9246d90e92-enc0183d09086c24190");
    assert_eq!(json["timestamp_ms"], 1_665_651_482_136_u64);
    assert_eq!(json["timestamp"], "2022-10-13T08:58:02Z");
    assert_eq!(json["digest"], "SHA384");
    assert_eq!(json["pcrs"]["0"], PCR0_OF_2022_10);
    assert_eq!(json["pcrs"].as_object().unwrap().len(), 16);
    assert_eq!(json["chain"]["valid_from"], "2022-10-13T08:57:59Z");
    assert_eq!(json["chain"]["valid_until"], "2022-10-13T11:58:02Z");
    for absent in ["user_data", "public_key"] {
        assert_eq!(json.get(absent), Some(&Value::Null), "{absent}");
    }
    assert!(json["nonce"].is_string());
}

#[test]
fn a_changed_bit_is_refused() {
    let (name, at) = PRODUCTION[0];
    let Some(file) = vector(name) else { return };
    let document = fs::read(file).unwrap();
    // One bit in each of twenty places from the first byte to the last.
    for part in 0..20 {
        let mut changed = document.clone();
        let byte = part * (document.len() - 1) / 19;
        changed[byte] ^= 1 << (part % 8);
        refused(&attest(&["verify", "-", "--at", at], &changed), "");
    }
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

#[test]
fn evidence_of_a_stack_is_fetched_and_judged_by_the_profile() {
    let stack = Stack::start();
    let file = stack.file();
    let saved = stack.dir().join("document");
    let saved = saved.to_str().unwrap();

    let fetched = stack.dauth(&["attest", "fetch", "--json", "--output", saved]);
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    let json: Value = serde_json::from_str(&fetched.stdout).unwrap();
    for (index, value) in &file.trust.pcrs {
        assert_eq!(json["pcrs"][index], value.as_str(), "PCR{index}");
    }
    // The tag of `docs/wire.md`, then a SHA-384.
    let user_data = hex::decode(json["user_data"].as_str().unwrap()).unwrap();
    assert!(user_data.starts_with(b"dauth-evidence-v1:"));
    assert_eq!(user_data.len(), b"dauth-evidence-v1:".len() + 48);

    // What was fetched verifies offline, by the simulation's root alone.
    let root = file.trust.root.to_str().unwrap();
    let nonce = json["nonce"].as_str().unwrap();
    let pcr16 = format!("16={}", file.trust.pcrs["16"]);
    let pinned = [
        "--root",
        root,
        "--nonce",
        nonce,
        "--pcr",
        &pcr16,
        "--max-age",
        "1h",
    ];
    accepted(&verify(Path::new(saved), &pinned));
    refused(&verify(Path::new(saved), &[]), "pinned root");
    refused(
        &verify(
            Path::new(saved),
            &["--root", file.ca.cert.to_str().unwrap()],
        ),
        "",
    );

    // Another nonce each time.
    let again = stack.dauth(&["attest", "fetch", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_ne!(again["nonce"], json["nonce"]);

    // A profile that pins another image or another configuration refuses this enclave.
    let profile = fs::read_to_string(&file.profile).unwrap();
    for index in ["0", "16"] {
        let changed = profile.replace(&file.trust.pcrs[index], &"5a".repeat(48));
        assert_ne!(changed, profile);
        let other = stack.dir().join(format!("other-{index}.toml"));
        fs::write(&other, changed).unwrap();
        let ran = stack.dauth(&["--profile", other.to_str().unwrap(), "attest", "fetch"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("PCR{index} ")),
            "{}",
            ran.stderr
        );
    }
    let ran = stack.dauth(&["attest", "fetch", "--ingress", "127.0.0.1:1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}
