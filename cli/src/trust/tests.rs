use super::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/vectors");

fn options(trust: &Path, key: Option<&str>) -> TrustOptions {
    TrustOptions {
        trust: Some(trust.to_owned()),
        release_key: key.map(str::to_owned),
        configuration: None,
    }
}

fn failure(options: &TrustOptions, named: &[(u16, Vec<u8>)]) -> String {
    options.required(named).unwrap_err().to_string()
}

#[test]
fn a_manifest_is_read_with_its_signature_by_key_and_by_the_keys_file() {
    let manifest = Path::new(VECTORS).join("release.json");
    let file = format!("{VECTORS}/release.pub");
    let line = fs::read_to_string(&file).unwrap();
    for key in [file.as_str(), line.lines().nth(1).unwrap()] {
        let required = options(&manifest, Some(key)).required(&[]).unwrap();
        let indices: Vec<_> = required.pcrs.keys().copied().collect();
        assert_eq!(indices, [0, 1, 2]);
        assert_eq!(required.release.unwrap().version, "1.0.0");
    }
    let sixteen = [(16, vec![5; 48])];
    let required = options(&manifest, Some(&file)).required(&sixteen).unwrap();
    assert_eq!(required.pcrs[&16], [5; 48]);
}

#[test]
fn a_manifest_without_key_or_signature_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("release.json");
    fs::copy(format!("{VECTORS}/release.json"), &manifest).unwrap();
    let key = format!("{VECTORS}/release.pub");
    let no_key = failure(&options(&manifest, None), &[]);
    assert!(no_key.contains("--release-key"), "{no_key}");
    let unsigned = failure(&options(&manifest, Some(&key)), &[]);
    assert!(unsigned.contains("release.json: refused") && unsigned.contains(".minisig"));
    let wrong = failure(&options(&manifest, Some("RWnot-a-key")), &[]);
    assert!(wrong.contains("RWnot-a-key"), "{wrong}");
}

/// The one would silently win over the other.
#[test]
fn a_register_that_is_named_twice_is_refused() {
    let manifest = Path::new(VECTORS).join("release.json");
    let options = options(&manifest, Some(&format!("{VECTORS}/release.pub")));
    let twice = failure(&options, &[(0, vec![1; 48])]);
    assert!(twice.contains("PCR0 is given more than once"), "{twice}");
    let none = TrustOptions::default();
    let twice = failure(&none, &[(16, vec![1; 48]), (16, vec![1; 48])]);
    assert!(twice.contains("PCR16 is given more than once"), "{twice}");
}
