use std::os::unix::fs::PermissionsExt as _;

use dauth_attested_tls::Place;

use super::*;

fn text(issuer: &str, root: &str) -> String {
    let pcr = "ab".repeat(48);
    format!(
        r#"issuer = "{issuer}"
client_id = "sdk"
client_secret = "hunter2-hunter2"
ingress = "127.0.0.1:8443"
resource = "https://enclave.example"
owner_key = "owner.pem"
[trust]
root = "{root}"
[trust.pcrs]
0 = "{pcr}"
16 = "{pcr}"
"#
    )
}

fn load(text: &str) -> Result<Profile, ProfileError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.toml");
    fs::write(&path, text).unwrap();
    Profile::load(&path)
}

#[test]
fn a_profile_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.toml");
    fs::write(&path, text("http://127.0.0.1:1", "root.pem")).unwrap();
    let profile = Profile::load(&path).unwrap();
    assert_eq!(profile.owner_key, folder.path().join("owner.pem"));
    assert_eq!(
        profile.trust.root,
        Root::Pem(folder.path().join("root.pem"))
    );
    profile.save(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Profile::load(&path).unwrap();
    assert_eq!(again.trust, profile.trust);
    assert_eq!(*again.client_secret, "hunter2-hunter2");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn two_releases_a_locked_key_and_the_operators_keyset_survive_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.toml");
    let (old, new) = ("ab".repeat(48), "cd".repeat(48));
    let releases = format!(
        r#"locked_key = true
releases = [{{ 0 = "{old}", 16 = "{old}" }}, {{ 0 = "{new}", 8 = "{old}", 16 = "{new}" }}]
[operator]
keyset = "parent/keyset.cbor"
"#
    );
    let whole = text("https://as.example", "aws");
    let (before, _) = whole.split_once("[trust.pcrs]").unwrap();
    for pcrs in [
        String::new(),
        format!("[trust.pcrs]\n0 = \"{new}\"\n16 = \"{old}\"\n"),
    ] {
        fs::write(&path, format!("{before}{releases}{pcrs}")).unwrap();
        let profile = Profile::load(&path).unwrap();
        assert_eq!(profile.trust.releases.len(), 2);
        assert_eq!(profile.trust.releases[1].len(), 3);
        assert_eq!(profile.trust.custody, Custody::LockedKey);
        let keyset = Some(folder.path().join("parent/keyset.cbor"));
        assert_eq!(profile.operator_keyset, keyset);
        let expectations = profile.expectations().unwrap();
        assert_eq!(expectations.custody, Custody::LockedKey);
        assert!(Arc::ptr_eq(&expectations.keysets, &profile.keysets));
        profile.save(&path).unwrap();
        let again = Profile::load(&path).unwrap();
        assert_eq!(again.trust, profile.trust);
        assert_eq!(again.operator_keyset, keyset);
    }
}

#[test]
fn every_release_pins_image_and_configuration() {
    let pcr = "ab".repeat(48);
    let whole = text("https://as.example", "aws");
    let (before, _) = whole.split_once("[trust.pcrs]").unwrap();
    let release = |release: &str| load(&format!("{before}releases = [{release}]"));
    let good = format!("{{ 0 = \"{pcr}\", 16 = \"{pcr}\" }}");
    assert!(release(&good).is_ok());
    assert!(matches!(release(""), Err(ProfileError::NoRelease)));
    assert!(matches!(load(before), Err(ProfileError::NoRelease)));
    for (bad, index) in [("{}", 0), (&*format!("{{ 0 = \"{pcr}\" }}"), 16)] {
        // A second release that pins less would be the way around the first.
        match release(&format!("{good}, {bad}")) {
            Err(ProfileError::MissingPcr(missing)) => assert_eq!(missing, index),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_seen_lies_beside_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.toml");
    fs::write(&path, text("https://as.example", "aws")).unwrap();
    let profile = Profile::load(&path).unwrap();
    let beside = folder.path().join("profile.keyset.json");
    assert_eq!(profile.keysets.place(), &Place::File(beside));
}

#[test]
fn a_foreign_root_needs_a_loopback_issuer() {
    assert!(load(&text("https://as.example", "aws")).is_ok());
    assert!(load(&text("http://127.0.0.1:8080", "root.pem")).is_ok());
    assert!(matches!(
        load(&text("https://as.example", "root.pem")),
        Err(ProfileError::ForeignRoot(_))
    ));
    assert!(matches!(
        load(&text("https://127.0.0.1.example", "root.pem")),
        Err(ProfileError::ForeignRoot(_))
    ));
    assert!(matches!(
        load(&text("http://as.example", "aws")),
        Err(ProfileError::Issuer(_))
    ));
}

#[test]
fn image_and_configuration_must_be_pinned() {
    let whole = text("https://as.example", "aws");
    for (line, index) in [("\n0 = ", 0), ("\n16 = ", 16)] {
        let other = whole.replace(line, "\n1 = ");
        match load(&other) {
            Err(ProfileError::MissingPcr(missing)) => assert_eq!(missing, index),
            other => panic!("{other:?}"),
        }
    }
    for bad in ["\n32 = ", "\n00 = ", "\n+1 = ", "\nx = "] {
        let other = whole.replace("\n16 = ", bad);
        assert!(load(&other).is_err(), "{bad}");
    }
    let short = whole.replace("abab\"", "ab\"");
    assert!(matches!(load(&short), Err(ProfileError::Pcr(_))));
}

#[test]
fn errors_name_the_line_and_no_secret() {
    let whole = text("https://as.example", "aws");
    let cases = [
        (whole.replace("client_id", "client"), 2),
        (whole.replace("\"hunter2-hunter2\"", "424242424242"), 3),
        (whole.replace("\"hunter2-hunter2\"", "\"hunter2"), 3),
        (whole.replace("\"hunter2-hunter2\"", "hunter2"), 3),
        (whole.replace("[trust]", "surprise = 1\n[trust]"), 7),
    ];
    for (text, line) in cases {
        match load(&text) {
            Err(error @ ProfileError::Malformed { line: found, .. }) => {
                assert_eq!(found, line, "{error}");
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.contains("hunter2") && !shown.contains("4242"),
                    "{shown}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let shown = format!("{:?}", load(&whole).unwrap());
    assert!(!shown.contains("hunter2"));
}
