//! `dauth login`: a profile is written when the enclave proved itself, and in no other case.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use dauth_tests::{Ran, Stack, binary};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A person at a stack, with what the operator and the publisher of the image gave out.
struct Person {
    folder: TempDir,
    stack: Stack,
}

impl Person {
    fn new() -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            stack: Stack::start(),
        };
        let stack = this.stack.file();
        let image: serde_json::Map<_, _> = stack
            .trust
            .pcrs
            .iter()
            .filter(|(index, _)| *index != "16")
            .map(|(index, value)| (index.clone(), Value::from(value.clone())))
            .collect();
        this.write("trust.json", &json!({ "pcrs": image }).to_string());
        this.write("secret", &stack.clients.sdk.client_secret);
        this
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.stack.dir().join("parent/deployment.json")
    }

    /// The options that make a login succeed, by name.
    fn options(&self) -> Vec<(&'static str, String)> {
        let stack = self.stack.file();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("--issuer", stack.issuer.clone()),
            ("--trust", text(&self.path("trust.json"))),
            ("--configuration", text(&self.configuration())),
            ("--root", text(&stack.trust.root)),
            ("--client-id", stack.clients.sdk.client_id),
            ("--client-secret-file", text(&self.path("secret"))),
            ("--output", text(&self.path("profile.toml"))),
        ]
    }

    fn login(&self, options: &[(&'static str, String)]) -> Ran {
        let arguments = options.iter().flat_map(|(name, value)| [*name, value]);
        let mut command = Command::new(binary("dauth"));
        command.arg("login").arg("--json").args(arguments);
        Ran::from(command.output().unwrap())
    }

    /// Logs in with some options changed, and with those left out that are empty.
    fn login_with(&self, changes: &[(&'static str, &str)]) -> Ran {
        let mut options = self.options();
        for (name, value) in changes {
            options.retain(|(other, _)| other != name);
            if !value.is_empty() {
                options.push((name, (*value).to_owned()));
            }
        }
        self.login(&options)
    }

    /// Refused with a sentence that has these words, and nothing was written.
    fn is_refused(&self, changes: &[(&'static str, &str)], words: &str) {
        let ran = self.login_with(changes);
        assert_ne!(ran.code, 0, "{changes:?}");
        assert!(ran.stderr.contains(words), "{changes:?}: {}", ran.stderr);
        for name in ["profile.toml", "profile.owner-key.pem"] {
            assert!(!self.path(name).exists(), "{changes:?} left {name}");
        }
    }
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_profile_is_written_for_an_enclave_that_proved_itself() {
    let person = Person::new();
    let ran = person.login(&person.options());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let stack = person.stack.file();
    assert_eq!(told["resource"], stack.enclave.resource);
    assert_eq!(told["ingress"], stack.parent.ingress);
    assert_eq!(told["pcr16"], stack.trust.pcrs["16"]);

    let profile = person.path("profile.toml");
    assert_eq!(mode(&profile), 0o600);
    assert_eq!(mode(&person.path("profile.owner-key.pem")), 0o600);
    assert!(!ran.stdout.contains(&stack.clients.sdk.client_secret));

    // The profile serves: a connection is made and used under the new owner key.
    let with_profile = |arguments: &[&str]| {
        let mut command = Command::new(binary("dauth"));
        command.args(arguments).env("DAUTH_PROFILE", &profile);
        Ran::from(command.output().unwrap())
    };
    let secret = person.write("credential", "sk_0123456789abcdef0123456789abcdef");
    let connected = with_profile(&[
        "connect",
        "mine",
        "--base-url",
        &stack.upstream.url,
        "--bearer",
        "--allow",
        "GET /v1/echo",
        "--secret-file",
        secret.to_str().unwrap(),
    ]);
    assert_eq!(connected.code, 0, "{}", connected.stderr);
    let called = with_profile(&["call", connected.stdout.trim(), "GET", "/v1/echo"]);
    assert_eq!(called.code, 0, "{}", called.stderr);
    assert!(called.stdout.contains("[redacted]"), "{}", called.stdout);

    // A second login would make its connections another owner's.
    let again = person.login(&person.options());
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    assert!(
        with_profile(&["connections", "list"])
            .stdout
            .contains("mine")
    );
}

#[test]
fn nothing_is_written_for_whom_the_values_do_not_vouch() {
    let person = Person::new();
    let pcr16 = &person.stack.file().trust.pcrs["16"].clone();
    let other = "5a".repeat(48);

    // No values, or not all of them.
    person.is_refused(&[("--trust", "")], "--trust");
    person.is_refused(&[("--configuration", "")], "PCR16 is missing");
    let only16 = person.write("only16.json", &json!({"pcrs": {"16": pcr16}}).to_string());
    person.is_refused(&[("--trust", only16.to_str().unwrap())], "PCR0");

    // Those of another image, and of another deployment of the same image.
    let image = person.write("other.json", &json!({"pcrs": {"0": other}}).to_string());
    person.is_refused(&[("--trust", image.to_str().unwrap())], "PCR0");
    let pcr = format!("16={other}");
    person.is_refused(&[("--configuration", ""), ("--pcr", &pcr)], "PCR16");

    // AWS's root alone is trusted unless another is named; and a foreign issuer has no other.
    person.is_refused(&[("--root", "")], "root");
    person.is_refused(
        &[("--issuer", "https://auth.example.com")],
        "evidence that is not AWS's",
    );
    person.is_refused(&[("--issuer", "http://auth.example.com")], "https");

    // A configuration of another issuer: the image may be right, the deployment is not this one.
    let text = fs::read_to_string(person.configuration()).unwrap();
    let issuer = person.stack.file().issuer;
    let foreign = text.replace(&format!("\"{issuer}\""), "\"https://other.example\"");
    assert_ne!(foreign, text);
    let foreign = person.write("foreign.json", &foreign);
    person.is_refused(
        &[("--configuration", foreign.to_str().unwrap())],
        "https://other.example",
    );

    // A client that the issuer does not know.
    let secret = person.write("wrong", "not the secret");
    person.is_refused(
        &[("--client-secret-file", secret.to_str().unwrap())],
        "invalid_client",
    );

    // The neighbour: PCR16 in place of the configuration will do.
    let pcr = format!("16={pcr16}");
    let ran = person.login_with(&[("--configuration", ""), ("--pcr", &pcr)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_manifest_is_trusted_by_its_signature_alone() {
    let person = Person::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/vectors");
    let at = |name: &str| vectors.join(name).to_str().unwrap().to_owned();
    let manifest = ("--trust", at("release.json"));
    let manifest = (manifest.0, manifest.1.as_str());
    let key = at("release.pub");

    // Without the key it says nothing; with it, it names an image, which this one is not.
    person.is_refused(&[manifest], "--release-key");
    person.is_refused(&[manifest, ("--release-key", &key)], "PCR0");

    // Changed by a byte, or without its signature.
    let text = fs::read_to_string(at("release.json")).unwrap();
    let changed = person.write("release.json", &text.replace("1.0.0", "1.0.1"));
    let changed = [
        ("--trust", changed.to_str().unwrap()),
        ("--release-key", &key),
    ];
    person.is_refused(&changed, "no signature beside it");
    fs::copy(
        at("release.json.minisig"),
        person.path("release.json.minisig"),
    )
    .unwrap();
    person.is_refused(&changed, "the signature is wrong");

    // Plain values in its place.
    person.is_refused(&[("--release-key", &key)], "not a release manifest");
    person.is_refused(&[manifest, ("--release-key", "RWnone")], "--release-key");
}
