//! What these tests share.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use dauth_protocol::measurement::Pcr;
use dauth_tests::{Balancer, Stack, Upstream, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const KEYSET: &str = "parent/keyset.cbor";
const SECRET: &str = "custody-secret-0123456789";

/// An upstream that answers, and a connection to it.
pub(crate) async fn connection(stack: &Stack) -> (Upstream, String) {
    let upstream = Upstream::start(&stack.file(), &[], |_| async {
        Response::new(Full::new(Bytes::from_static(b"served")))
    })
    .await;
    let options = ["--bearer", "--allow", "GET /**"];
    let handle = stack.connect("custody", &upstream.base_url(), SECRET, &options);
    (upstream, handle)
}

/// Waits until `dauth simulate` has gone through its flow.
pub(crate) fn wait_until_idle(stack: &Stack) {
    wait_until("the flow ends", || {
        stack.output().contains("To connect a credential")
    });
    let output = stack.output();
    assert!(output.contains("Every step held."), "{output}");
}

/// Generation of the keyset, as evidence has it.
pub(crate) fn attested_generation(stack: &Stack, profile: &Path) -> u64 {
    let profile = profile.to_str().unwrap();
    let ran = stack.dauth(&["--profile", profile, "attest", "fetch", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let evidence: Value = serde_json::from_str(&ran.stdout).unwrap();
    find(&evidence, "generation")
        .and_then(Value::as_u64)
        .unwrap()
}

fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.values().find_map(|inner| find(inner, name)))
}

/// Fingerprint of a connection's record, as the control plane tells its owner.
pub(crate) fn fingerprint(stack: &Stack, handle: &str) -> String {
    let ran = stack.dauth(&["connections", "show", handle, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    find(&shown, "fingerprint")
        .and_then(Value::as_str)
        .unwrap()
        .to_owned()
}

/// The stack's profile with another ingress and further releases, in a folder of its own.
pub(crate) struct OtherProfile {
    file: PathBuf,
    _folder: TempDir,
}

impl OtherProfile {
    pub(crate) fn behind(stack: &Stack, balancer: &Balancer, releases: &[(Pcr, Pcr)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(stack.file().profile).unwrap();
        let mut profile: toml::Table = text.parse().unwrap();
        profile["ingress"] = balancer.address().into();
        let releases: Vec<toml::Value> = releases
            .iter()
            .map(|(pcr0, pcr16)| {
                let mut pcrs = toml::Table::new();
                pcrs.insert("0".to_owned(), pcr0.to_string().into());
                pcrs.insert("16".to_owned(), pcr16.to_string().into());
                pcrs.into()
            })
            .collect();
        if !releases.is_empty() {
            let trust = profile["trust"].as_table_mut().unwrap();
            trust.insert("releases".to_owned(), releases.into());
        }
        let file = folder.path().join("profile.toml");
        fs::write(&file, profile.to_string()).unwrap();
        Self {
            file,
            _folder: folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }
}

/// Runs `dauth keys` with the stack's profile, and asserts that it succeeds.
#[track_caller]
pub(crate) fn keys(stack: &Stack, arguments: &[&str]) -> String {
    let ran = stack.dauth(&[&["keys"], arguments].concat());
    assert_eq!(
        ran.code,
        0,
        "dauth keys {arguments:?}: {ran:?}{}",
        stack.logs()
    );
    ran.stdout
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill {signal} {pid}");
}

/// The key policy for `images`, as `dauth kms-policy` prints it.
pub(crate) fn key_policy(stack: &Stack, images: &[(Pcr, Pcr)]) -> String {
    printed_policy(stack, images, &[])
}

/// The same, which nobody can change.
pub(crate) fn locked_key_policy(stack: &Stack, images: &[(Pcr, Pcr)]) -> String {
    printed_policy(stack, images, &["--lock"])
}

fn printed_policy(stack: &Stack, images: &[(Pcr, Pcr)], options: &[&str]) -> String {
    let pcrs: Vec<String> = images
        .iter()
        .flat_map(|(pcr0, pcr16)| [format!("--pcr=0={pcr0}"), format!("--pcr=16={pcr16}")])
        .collect();
    let pcrs: Vec<&str> = pcrs.iter().map(String::as_str).collect();
    let named = [
        "kms-policy",
        "--account=000000000000",
        "--region=eu-west-1",
        "--role=arn:aws:iam::000000000000:role/dauth-simulation",
    ];
    let ran = stack.dauth(&[&named[..], &pcrs, options].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}
