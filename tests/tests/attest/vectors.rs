//! The generated documents of `attestation/vectors`, through the program: every one whose rule its
//! options can express.
use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{accepted, refused, verify};

/// Most of the vectors. The rest have what no option asks for: user data, several releases.
const LEAST_EXPRESSED: usize = 120;

/// What the sentence says of some, word for word: what is wrong, and the rule that says so.
const SENTENCES: [(&str, &str); 9] = [
    (
        "reject_algorithm_es256.cose",
        "the protected header names another algorithm than ES384 (AWS section 3.1)",
    ),
    (
        "reject_critical_header.cose",
        "the protected header has crit, and this verifier knows no critical extension (RFC 9052 \
         section 3.1)",
    ),
    (
        "reject_no_pcrs.cose",
        "pcrs is missing (AWS section 3.2.2.1)",
    ),
    (
        "reject_pcr_32.cose",
        "PCR32 does not exist: indices are 0 to 31 (AWS section 3.2.2.2)",
    ),
    (
        "reject_user_data_1025_bytes.cose",
        "user_data has 1025 bytes: at most 1024 (AWS section 3.2.2.2)",
    ),
    (
        "reject_leaf_expired.cose",
        "is not valid after 2025-06-15T17:56:43Z (AWS section 3.2.3.1)",
    ),
    (
        "reject_zonal_no_key_cert_sign.cose",
        "a CA certificate of cabundle lacks the key usage keyCertSign (AWS section 3.2.3.3)",
    ),
    (
        "reject_regional_path_length.cose",
        "the chain has more CA certificates than a pathLenConstraint in it allows (AWS section \
         3.2.3.2)",
    ),
    (
        "reject_pcr0_zero.cose",
        "PCR0 is zero: the enclave runs in debug mode (AWS: attestation in debug mode); \
         --allow-debug accepts it, for diagnosis alone",
    ),
];

#[derive(Deserialize)]
struct Manifest {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    file: String,
    root: String,
    at_ms: u64,
    policy: Policy,
    /// Of those to accept.
    claims: Option<Claims>,
}

#[derive(Deserialize)]
struct Policy {
    nonce: Option<String>,
    user_data: Option<Value>,
    images: Option<Vec<BTreeMap<String, String>>>,
    max_age_s: Option<u64>,
    leeway_s: u64,
    debug_mode: String,
}

#[derive(Deserialize)]
struct Claims {
    module_id: String,
    timestamp_ms: u64,
    pcrs: Value,
    public_key: Value,
    user_data: Value,
    nonce: Value,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../attestation/vectors")
}

impl Vector {
    /// The options that ask for what the vector's policy does, where there are such.
    fn options(&self) -> Option<Vec<String>> {
        let policy = &self.policy;
        if policy.user_data.is_some() {
            return None;
        }
        let root = folder().join(&self.root);
        let mut options = vec![
            "--json".to_owned(),
            format!("--root={}", root.display()),
            format!("--at={}", rfc3339(self.at_ms)),
        ];
        match policy.nonce.as_deref() {
            None => {}
            // A usage error.
            Some("") => return None,
            Some(nonce) => options.push(format!("--nonce={nonce}")),
        }
        match policy.images.as_deref() {
            None => {}
            Some([image]) => {
                options.extend(image.iter().map(|(n, value)| format!("--pcr={n}={value}")));
            }
            Some(_) => return None,
        }
        if let Some(seconds) = policy.max_age_s {
            options.push(format!("--max-age={seconds}s"));
        }
        // With --at there is none unless named.
        if policy.leeway_s != 0 {
            options.push(format!("--leeway={}s", policy.leeway_s));
        }
        if policy.debug_mode == "allow" {
            options.push("--allow-debug".to_owned());
        }
        Some(options)
    }
}

/// A time of the proleptic Gregorian calendar, by days since 0000-03-01.
fn rfc3339(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000 + 719_468, ms % 86_400_000);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[test]
fn each_vector_is_judged_as_its_manifest_says() {
    assert_eq!(rfc3339(1_665_662_282_007), "2022-10-13T11:58:02.007Z");
    assert_eq!(rfc3339(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
    let manifest = fs::read(folder().join("manifest.json")).unwrap();
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    let mut sentences: BTreeMap<&str, &str> = SENTENCES.into();
    let mut expressed = 0;
    for vector in &manifest.vectors {
        let Some(options) = vector.options() else {
            continue;
        };
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let output = verify(&folder().join(&vector.file), &options);
        match &vector.claims {
            Some(claims) => assert_claims(&accepted(&output), claims),
            None => {
                let sentence = sentences.remove(vector.file.as_str()).unwrap_or_default();
                refused(&output, sentence);
                refused(&output, &format!("{}: refused: ", vector.file));
                let stderr = String::from_utf8(output.stderr).unwrap();
                let rules = [
                    "(AWS section ",
                    "(AWS: ",
                    "(RFC ",
                    "(bound of this verifier)",
                ];
                assert!(rules.iter().any(|rule| stderr.contains(rule)), "{stderr}");
            }
        }
        expressed += 1;
    }
    assert!(expressed >= LEAST_EXPRESSED, "{expressed}");
    assert!(sentences.is_empty(), "not judged: {sentences:?}");
}

#[track_caller]
fn assert_claims(shown: &str, claims: &Claims) {
    let shown: Value = serde_json::from_str(shown).unwrap();
    assert_eq!(shown["module_id"], claims.module_id.as_str());
    assert_eq!(shown["timestamp_ms"], claims.timestamp_ms);
    assert_eq!(shown["pcrs"], claims.pcrs);
    for (name, claim) in [
        ("public_key", &claims.public_key),
        ("user_data", &claims.user_data),
        ("nonce", &claims.nonce),
    ] {
        assert_eq!(&shown[name], claim, "{name}");
    }
}

#[test]
fn no_vector_passes_for_a_document_of_aws() {
    // At the same time, with AWS's root in place of the one that signed it.
    let document = folder().join("accept_indefinite_map.cose");
    let at = format!("--at={}", rfc3339(1_750_000_000_000));
    let root = format!("--root={}", folder().join("root.pem").display());
    accepted(&verify(&document, &[&at, &root]));
    refused(
        &verify(&document, &[&at]),
        "the chain does not end in a pinned root (AWS section 3.2.3); it is not a document of AWS",
    );
}
