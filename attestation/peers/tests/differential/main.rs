//! Published verifiers and ours, on the same documents: where they should agree they do, and each
//! difference is listed with its reason in [`differences`].
#![allow(
    clippy::expect_used,
    reason = "tests fail by panic; the vectors are fixtures"
)]

mod differences;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use dauth_attestation::{
    AgeRule, Appraisal, DebugMode, Images, NonceRule, Policy, SignatureAlgorithms, TrustAnchors,
    appraise_with,
};
use dauth_attestation_peers::{Evidence, Verdict, peers};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

/// Files by peer.
type Files = BTreeMap<&'static str, BTreeSet<String>>;

#[test]
fn forged_documents_are_judged_alike_but_for_what_is_listed() {
    let manifest: Value = serde_json::from_slice(&read("vectors/manifest.json")).expect("JSON");
    let mut found = Files::new();
    for entry in manifest["vectors"].as_array().expect("a list") {
        let text = |key: &str| entry[key].as_str().expect("text").to_owned();
        let root = read(&format!("vectors/{}", text("root")));
        let evidence = Evidence {
            document: read(&format!("vectors/{}", text("file"))),
            root: CertificateDer::from_pem_slice(&root).expect("PEM").to_vec(),
            at_ms: entry["at_ms"].as_u64().expect("a time"),
        };
        let leeway = Duration::from_secs(entry["policy"]["leeway_s"].as_u64().expect("seconds"));
        for (peer, _) in differing(&evidence, leeway) {
            found.entry(peer).or_default().insert(text("file"));
        }
    }
    assert_eq!(found, differences::listed());
}

#[test]
fn real_documents_are_accepted_by_all_inside_their_window() {
    for (name, evidence) in real() {
        assert!(accepts(&evidence, Duration::ZERO), "{name}");
        for peer in peers() {
            let verdict = (peer.judge)(&evidence);
            assert_eq!(verdict, Verdict::Accepts, "{name} by {}", peer.name);
        }
    }
}

#[test]
fn only_who_judges_at_the_documents_own_time_accepts_one_that_has_expired() {
    for (name, mut evidence) in real() {
        evidence.at_ms = 1_767_225_600_000;
        let differing = differing(&evidence, Duration::ZERO);
        let accepted = [("ic_tee_nitro_attestation", Verdict::Accepts)];
        assert_eq!(differing, accepted, "{name}");
    }
}

#[test]
fn a_flipped_bit_is_refused_by_all() {
    for (name, mut evidence) in real() {
        for bit in (0..evidence.document.len() * 8).step_by(1009) {
            evidence.document[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&evidence, Duration::ZERO), "{name}, bit {bit}");
            let differing = differing(&evidence, Duration::ZERO);
            assert_eq!(differing, [], "{name}, bit {bit}");
            evidence.document[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// The peers that do not say what we say.
fn differing(evidence: &Evidence, leeway: Duration) -> Vec<(&'static str, Verdict)> {
    let ours = accepts(evidence, leeway);
    peers()
        .into_iter()
        .map(|peer| (peer.name, (peer.judge)(evidence)))
        .filter(|(_, verdict)| ours == matches!(verdict, Verdict::Refuses(_)))
        .collect()
}

/// Form, chain and signature alone: no peer has a policy.
fn accepts(evidence: &Evidence, leeway: Duration) -> bool {
    let anchors = TrustAnchors::from_der(&evidence.root).expect("a trust anchor");
    let policy = Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        debug_mode: DebugMode::Allow,
        leeway,
        ..Policy::new(Images::Unconstrained)
    };
    let appraisal = Appraisal {
        anchors: &anchors,
        policy: &policy,
        now_ms: evidence.at_ms,
    };
    let algorithms = SignatureAlgorithms::new(webpki::ring::ECDSA_P384_SHA384);
    appraise_with(algorithms, &evidence.document, &appraisal).is_ok()
}

/// Real documents, each at its own time, where the folder of shared vectors stands beside the
/// project.
fn real() -> Vec<(&'static str, Evidence)> {
    const DOCUMENTS: [(&str, u64); 5] = [
        ("real-2022-10.cbor", 1_665_651_482_136),
        ("real-2023-09.cbor", 1_695_049_410_860),
        ("real-2024-11-a.cbor", 1_731_627_989_450),
        ("real-2024-11-b.cbor", 1_730_792_863_352),
        ("debug-mode-2022-10.cbor", 1_665_582_606_081),
    ];
    let root = read("src/aws-nitro-enclaves-root-g1.pem");
    let root = CertificateDer::from_pem_slice(&root).expect("PEM").to_vec();
    let folder = attestation().join("../../shared/vectors/attestation");
    DOCUMENTS
        .into_iter()
        .filter_map(|(name, at_ms)| match fs::read(folder.join(name)) {
            Ok(document) => {
                let root = root.clone();
                let evidence = Evidence {
                    document,
                    root,
                    at_ms,
                };
                Some((name, evidence))
            }
            Err(error) => {
                eprintln!("SKIPPED: shared vector {name} is absent ({error})");
                None
            }
        })
        .collect()
}

fn read(path: &str) -> Vec<u8> {
    fs::read(attestation().join(path)).expect(path)
}

fn attestation() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
