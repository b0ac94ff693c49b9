mod signer;

use signer::Signer;

use super::*;
use crate::{Architecture, Image, Metadata};

const ENCLAVE: &[u8] = b"\x7fELF the enclave";
const COMMIT: &str = "52a8b0c7d4a1e9f30c6d2b8e7f1a4c5d6e7f8091";

fn eif() -> Vec<u8> {
    let ramdisks = [b"boot".to_vec(), [b"rootfs", ENCLAVE].concat()];
    let image = Image {
        architecture: Architecture::X86_64,
        kernel: b"kernel",
        cmdline: "quiet",
        ramdisks: &ramdisks,
        metadata: Metadata {
            name: "dauth",
            version: "1.0.0",
            build_time_s: 0,
        },
    };
    image.write().unwrap()
}

fn draft(eif: &[u8]) -> Draft<'_> {
    Draft {
        version: "1.0.0",
        commit: COMMIT,
        eif,
        enclave: ENCLAVE,
    }
}

fn read(
    contents: &[u8],
    signature: Option<&str>,
    key: Option<&ReleaseKey>,
) -> Result<Trust, TrustError> {
    Trust::read(&TrustFile {
        contents,
        signature,
        key,
    })
}

fn key_of(signer: &Signer) -> ReleaseKey {
    signer.public_key().parse().unwrap()
}

#[test]
fn a_signed_manifest_gives_the_pcrs_of_the_image() {
    let (eif, signer) = (eif(), Signer::new(1));
    let manifest = draft(&eif).manifest().unwrap();
    let json = manifest.to_json();
    let trust = read(&json, Some(&signer.sign(&json)), Some(&key_of(&signer))).unwrap();
    let measured = crate::Eif::parse(&eif).unwrap().measure().unwrap();
    let pcrs: Vec<_> = trust.pcrs().collect();
    assert_eq!(pcrs, measured.pcrs().collect::<Vec<_>>());
    assert_eq!(trust.release(), Some(&manifest));
    assert_eq!(manifest.eif_sha256, Sha256::of(&eif));
    assert_eq!(manifest.enclave_sha256, Sha256::of(ENCLAVE));
}

#[test]
fn the_same_release_gives_the_same_bytes_with_the_names_that_were_agreed() {
    let eif = eif();
    let json = draft(&eif).manifest().unwrap().to_json();
    assert_eq!(json, draft(&eif).manifest().unwrap().to_json());
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["type"], "dauth-release/1");
    assert_eq!(value["version"], "1.0.0");
    assert_eq!(value["commit"], COMMIT);
    assert_eq!(value["pcrs"]["0"].as_str().unwrap().len(), 96);
    assert_eq!(value["eif_sha256"], Sha256::of(&eif).to_string());
    assert_eq!(value.as_object().unwrap().len(), 6);
}

/// Each would have somebody else's PCRs trusted.
#[test]
fn manifests_that_the_release_key_did_not_sign_are_refused() {
    let eif = eif();
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let same_number = Signer::new(1);
    let json = draft(&eif).manifest().unwrap().to_json();
    let key = key_of(&signer);
    let right = signer.sign(&json);
    assert!(read(&json, Some(&right), Some(&key)).is_ok());
    let changed = String::from_utf8(json.clone())
        .unwrap()
        .replace("1.0.0", "1.0.1");
    let comment = right.replace("trusted comment: a test", "trusted comment: 2.0.0");
    for (bytes, signature, error) in [
        (json.clone(), Some(other.sign(&json)), TrustError::OtherKey),
        (
            json.clone(),
            Some(same_number.sign(&json)),
            TrustError::Forged,
        ),
        (
            changed.into_bytes(),
            Some(right.clone()),
            TrustError::Forged,
        ),
        (json.clone(), Some(comment), TrustError::Forged),
        (json.clone(), None, TrustError::NoSignature),
        (
            json.clone(),
            Some(signer.signature(*b"Ed", &json)),
            TrustError::Legacy,
        ),
        (
            json.clone(),
            Some("noise".to_owned()),
            TrustError::SignatureMalformed,
        ),
        (
            json.clone(),
            Some("x".repeat(5000)),
            TrustError::SignatureMalformed,
        ),
    ] {
        assert_eq!(read(&bytes, signature.as_deref(), Some(&key)), Err(error));
    }
    assert_eq!(read(&json, Some(&right), None), Err(TrustError::NoKey));
}

/// Whoever can write the file would otherwise put plain values in the manifest's place.
#[test]
fn plain_values_are_refused_where_a_release_key_is_named() {
    let signer = Signer::new(1);
    let plain = format!("{{\"pcrs\": {{\"0\": \"{}\"}}}}", "5a".repeat(48));
    let signature = signer.sign(plain.as_bytes());
    for signature in [None, Some(signature.as_str())] {
        assert_eq!(
            read(plain.as_bytes(), signature, Some(&key_of(&signer))),
            Err(TrustError::NotAManifest)
        );
    }
    assert!(read(plain.as_bytes(), None, None).is_ok());
}

#[test]
fn a_signed_file_of_another_shape_is_refused() {
    let (eif, signer) = (eif(), Signer::new(1));
    let json = String::from_utf8(draft(&eif).manifest().unwrap().to_json()).unwrap();
    for (from, to) in [
        ("dauth-release/1", "dauth-release/2"),
        ("\"commit\"", "\"committed\""),
        ("\"version\": \"1.0.0\"", "\"version\": \"\""),
        ("\"version\": \"1.0.0\"", "\"version\": \"1\\u001b[2J\""),
        (
            "\"version\": \"1.0.0\"",
            "\"version\": \"1\", \"version\": \"2\"",
        ),
        ("\"2\": ", "\"3\": "),
    ] {
        let other = json.replacen(from, to, 1);
        assert_ne!(other, json);
        let signature = signer.sign(other.as_bytes());
        let read = read(other.as_bytes(), Some(&signature), Some(&key_of(&signer)));
        assert!(
            matches!(read, Err(TrustError::Malformed(_))),
            "{to}: {read:?}"
        );
    }
}

#[test]
fn plain_values_are_read_as_json_and_as_toml() {
    let (zero, sixteen) = ("5a".repeat(48), "6b".repeat(48));
    let json = format!("{{\"pcrs\": {{\"0\": \"{zero}\", \"16\": \"{sixteen}\"}}}}");
    let toml = format!("[pcrs]\n0 = \"{zero}\"\n16 = \"{sixteen}\"\n");
    let trust = read(json.as_bytes(), None, None).unwrap();
    assert_eq!(read(toml.as_bytes(), None, None), Ok(trust.clone()));
    assert_eq!(
        trust.pcrs().collect::<Vec<_>>(),
        [(0, Pcr::from([0x5a; 48])), (16, Pcr::from([0x6b; 48]))]
    );
    assert_eq!(trust.release(), None);
}

#[test]
fn values_that_would_let_another_enclave_pass_are_refused() {
    let pcrs = |entries: &str| {
        read(
            format!("{{\"pcrs\": {{{entries}}}}}").as_bytes(),
            None,
            None,
        )
        .unwrap_err()
    };
    let value = format!("\"{}\"", "5a".repeat(48));
    let zero = format!("\"{}\"", "00".repeat(48));
    assert_eq!(pcrs(""), TrustError::NoPcr0);
    assert_eq!(pcrs(&format!("\"16\": {value}")), TrustError::NoPcr0);
    assert_eq!(pcrs(&format!("\"0\": {zero}")), TrustError::Zero(0));
    assert_eq!(
        pcrs(&format!("\"0\": {value}, \"2\": {zero}")),
        TrustError::Zero(2)
    );
    for entries in [
        format!("\"0\": {value}, \"0\": {value}"),
        format!("\"00\": {value}"),
        format!("\"32\": {value}"),
        "\"0\": \"5a\"".to_owned(),
    ] {
        assert!(
            matches!(pcrs(&entries), TrustError::Malformed(_)),
            "{entries}"
        );
    }
    for text in [
        "",
        "{}",
        "[]",
        "\u{0}",
        "pcrs = 1",
        "{\"pcrs\": {}, \"x\": 1}",
    ] {
        let read = read(text.as_bytes(), None, None).unwrap_err();
        assert!(matches!(read, TrustError::Malformed(_)), "{text}: {read:?}");
    }
    let long = vec![b' '; MAX_TRUST_FILE_BYTES + 1];
    assert_eq!(read(&long, None, None), Err(TrustError::TooLong));
}

#[test]
fn keys_are_read_as_a_line_and_as_a_file() {
    let file = Signer::new(1).public_key();
    let line = file.lines().nth(1).unwrap();
    assert_eq!(file.parse::<ReleaseKey>(), line.parse());
    for text in ["", "RW", "untrusted comment: only", &line[2..]] {
        assert_eq!(text.parse::<ReleaseKey>(), Err(KeyError));
    }
}

#[test]
fn a_manifest_names_one_image_and_the_program_in_it() {
    let eif = eif();
    let refused = |change: fn(&mut Draft<'_>)| {
        let mut draft = draft(&eif);
        change(&mut draft);
        draft.manifest().unwrap_err()
    };
    assert_eq!(
        refused(|d| d.enclave = b"\x7fELF other"),
        DraftError::OtherProgram
    );
    assert_eq!(refused(|d| d.enclave = b""), DraftError::OtherProgram);
    assert_eq!(refused(|d| d.version = "1 0"), DraftError::Version);
    assert_eq!(refused(|d| d.version = ""), DraftError::Version);
    for commit in ["main", "52a8b0c", ""] {
        let mut draft = draft(&eif);
        draft.commit = commit;
        assert_eq!(draft.manifest(), Err(DraftError::Commit(commit.to_owned())));
    }
    assert_eq!(
        refused(|d| d.eif = b"no image"),
        DraftError::Eif(crate::EifError::Truncated)
    );
}

/// Made by Debian's minisign 0.11: what operators sign with.
#[test]
fn a_signature_of_minisign_itself_is_verified() {
    let key = include_str!("../../vectors/release.pub").parse().unwrap();
    let json = include_bytes!("../../vectors/release.json");
    let signature = include_str!("../../vectors/release.json.minisig");
    let trust = read(json, Some(signature), Some(&key)).unwrap();
    assert_eq!(trust.release().unwrap().version, "1.0.0");
    let legacy = include_str!("../../vectors/reject_old_format.minisig");
    assert_eq!(
        read(json, Some(legacy), Some(&key)),
        Err(TrustError::Legacy)
    );
}
