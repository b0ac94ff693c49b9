//! The committed vectors: each is judged as its manifest says, and each rule has one.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panic; the vectors are fixtures"
)]

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use dauth_attestation::{
    AgeRule, AttestationResult, ChainCacheLimits, DebugMode, Error, Images, NonceRule, Policy,
    ReferenceValues, SignatureAlgorithms, TrustAnchors, UserDataRule, Verifier,
};
use serde_json::Value;

struct Vector {
    name: String,
    document: Vec<u8>,
    anchors: TrustAnchors,
    policy: Policy,
    at_ms: u64,
    entry: Value,
}

impl Vector {
    fn new(entry: &Value) -> Self {
        let name = text(&entry["file"]);
        let root = fs::read_to_string(folder().join(text(&entry["root"]))).expect("the root");
        Self {
            document: fs::read(folder().join(&name)).expect("the document"),
            anchors: TrustAnchors::from_pem(&root).expect("a trust anchor"),
            policy: policy(&entry["policy"]),
            at_ms: number(&entry["at_ms"]),
            entry: entry.clone(),
            name,
        }
    }

    /// Judges it twice: the second time from the cache, if it was accepted.
    fn assert_judged_as_expected(&self, algorithms: SignatureAlgorithms) {
        let name = &self.name;
        let verifier = Verifier::with_algorithms(self.anchors.clone(), algorithms)
            .with_cache(ChainCacheLimits::default());
        for time in ["first", "second"] {
            let judged = verifier.appraise(&self.document, &self.policy, self.at_ms);
            match (judged, self.expected_error()) {
                (Ok(result), None) => self.assert_claims(&result),
                (Err(error), Some(expected)) => {
                    assert_eq!(variant(&error), expected, "{name}: {error}");
                }
                (Ok(_), Some(expected)) => panic!("{name} is accepted the {time} time: {expected}"),
                (Err(error), None) => panic!("{name} is refused: {error}"),
            }
        }
    }

    /// The rule that is to refuse it; `None` when it is to be accepted.
    fn expected_error(&self) -> Option<&str> {
        self.entry["error"].as_str()
    }

    fn assert_claims(&self, result: &AttestationResult) {
        let pcrs: BTreeMap<String, Value> = result
            .pcrs()
            .map(|(index, value)| (index.to_string(), Value::from(hex::encode(value))))
            .collect();
        let optional = |value: Option<&[u8]>| value.map_or(Value::Null, |v| hex::encode(v).into());
        let read = serde_json::json!({
            "module_id": result.module_id(),
            "timestamp_ms": result.timestamp_ms(),
            "pcrs": pcrs,
            "public_key": optional(result.public_key()),
            "user_data": optional(result.user_data()),
            "nonce": optional(result.nonce()),
            "chain_valid_from_s": result.chain_valid_from_s(),
            "chain_valid_until_s": result.chain_valid_until_s(),
        });
        assert_eq!(read, self.entry["claims"], "{}", self.name);
    }
}

#[test]
fn each_is_judged_as_its_manifest_says() {
    for vector in vectors() {
        vector.assert_judged_as_expected(SignatureAlgorithms::aws_lc_rs());
    }
}

#[cfg(feature = "rust-crypto")]
#[test]
fn rust_crypto_judges_each_alike() {
    for vector in vectors() {
        vector.assert_judged_as_expected(SignatureAlgorithms::rust_crypto());
    }
}

#[test]
fn each_rule_has_a_vector_that_breaks_it_alone() {
    let shown: BTreeSet<String> = vectors()
        .iter()
        .filter_map(|vector| vector.expected_error().map(str::to_owned))
        .collect();
    assert_eq!(shown, rules());
}

#[test]
fn each_file_is_in_the_manifest_under_its_verdict() {
    let listed: BTreeSet<String> = vectors().into_iter().map(|vector| vector.name).collect();
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the vectors")
        .map(|file| file.expect("a file").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".cose"))
        .collect();
    assert_eq!(listed, files);
    for vector in vectors() {
        let verdict = text(&vector.entry["result"]);
        assert!(vector.name.starts_with(&format!("{verdict}_")));
        assert_eq!(vector.expected_error().is_some(), verdict == "reject");
    }
}

/// The variants of [`Error`], from its source: a test outside of the crate cannot match all of a
/// non-exhaustive enum, and a new rule must not go without a vector.
fn rules() -> BTreeSet<String> {
    let source = include_str!("../src/error.rs");
    let variants: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| identifier(line).to_owned())
        .collect();
    let messages = source.matches("#[error(").count();
    assert_eq!(variants.len(), messages, "the source is read wrongly");
    variants
}

fn variant(error: &Error) -> String {
    identifier(&format!("{error:?}")).to_owned()
}

fn identifier(text: &str) -> &str {
    let end = text.find(|next: char| !next.is_ascii_alphanumeric());
    text.split_at(end.unwrap_or(text.len())).0
}

fn policy(value: &Value) -> Policy {
    let bytes = |value: &Value| hex::decode(text(value)).expect("hexadecimal");
    let release = |release: &Value| {
        let pcrs = release.as_object().expect("PCRs by index");
        pcrs.iter()
            .fold(ReferenceValues::new(), |release, (index, value)| {
                release.with_pcr(index.parse().expect("an index"), &bytes(value))
            })
    };
    let images = match value["images"].as_array() {
        None => Images::Unconstrained,
        Some(releases) => Images::AnyOf(releases.iter().map(release).collect()),
    };
    Policy {
        nonce: match &value["nonce"] {
            Value::Null => NonceRule::Any,
            nonce => NonceRule::Equals(bytes(nonce)),
        },
        user_data: match (&value["user_data"]["equals"], &value["user_data"]["tagged"]) {
            (Value::Null, Value::Null) => UserDataRule::Any,
            (Value::Null, tag) => UserDataRule::Tagged(bytes(tag)),
            (expected, _) => UserDataRule::Equals(bytes(expected)),
        },
        age: match value["max_age_s"].as_u64() {
            None => AgeRule::Any,
            Some(seconds) => AgeRule::AtMost(Duration::from_secs(seconds)),
        },
        leeway: Duration::from_secs(number(&value["leeway_s"])),
        debug_mode: match text(&value["debug_mode"]).as_str() {
            "allow" => DebugMode::Allow,
            _ => DebugMode::Refuse,
        },
        ..Policy::new(images)
    }
}

fn vectors() -> Vec<Vector> {
    let manifest = fs::read(folder().join("manifest.json")).expect("the manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let entries = manifest["vectors"].as_array().expect("a list");
    entries.iter().map(Vector::new).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}
