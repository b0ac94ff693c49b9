//! Documents that enclaves of AWS made: each is accepted in the seconds of its window, and in no
//! other.
//!
//! Every single-bit change of them is refused in `attestation/tests/suite/real.rs`; here a sample of
//! the changes goes through the program.
use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{accepted, attest, refused, verify};

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
/// Each document: the last second before its window, the first and last of it, the first after it.
const WINDOWS: [(&str, [&str; 4]); 5] = [
    (
        "real-2022-10.cbor",
        [
            "2022-10-13T08:57:58Z",
            "2022-10-13T08:57:59Z",
            "2022-10-13T11:58:02Z",
            "2022-10-13T11:58:03Z",
        ],
    ),
    (
        "real-2024-11-b.cbor",
        [
            "2024-11-05T07:47:14Z",
            "2024-11-05T07:47:15Z",
            "2024-11-05T10:47:18Z",
            "2024-11-05T10:47:19Z",
        ],
    ),
    (
        "real-2023-09.cbor",
        [
            "2023-09-18T14:37:08Z",
            "2023-09-18T14:37:09Z",
            "2023-09-18T17:37:12Z",
            "2023-09-18T17:37:13Z",
        ],
    ),
    (
        "real-2024-11-a.cbor",
        [
            "2024-11-14T21:24:25Z",
            "2024-11-14T21:24:26Z",
            "2024-11-15T00:24:29Z",
            "2024-11-15T00:24:30Z",
        ],
    ),
    (
        "debug-mode-2022-10.cbor",
        [
            "2022-10-12T13:49:50Z",
            "2022-10-12T13:49:51Z",
            "2022-10-12T16:49:54Z",
            "2022-10-12T16:49:55Z",
        ],
    ),
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
fn each_second_of_a_window_counts_and_none_beside_it() {
    let named_as_debug = |name: &str| DEBUG.iter().any(|(debug, _)| *debug == name);
    for (name, [before, first, last, after]) in WINDOWS {
        let Some(file) = vector(name) else { return };
        let debug: &[&str] = if named_as_debug(name) {
            &["--allow-debug"]
        } else {
            &[]
        };
        let judge = |at: &str| verify(&file, &[&["--at", at], debug].concat());
        for at in [first, last] {
            accepted(&judge(at));
        }
        // The refusal names the bound.
        refused(
            &judge(before),
            &format!("is not valid before {first} (AWS section 3.2.3.1)"),
        );
        refused(
            &judge(after),
            &format!("is not valid after {last} (AWS section 3.2.3.1)"),
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
