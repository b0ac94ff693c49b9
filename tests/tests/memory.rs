//! The secret's life in memory: in the enclave and at the upstream while a call is under way, in the
//! enclave no more ten seconds after the answer, and in no other process ever.
//!
//! Reading the memory of a process that is not dumpable needs root; without it the test says so and
//! looks at the other processes alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dauth_simulator::memory::{Found, scan};
use dauth_tests::{Stack, Upstream};
use http::Response;
use http_body_util::Full;
use tokio::sync::{Notify, watch};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);

/// A random secret, and the forms that it takes on the way.
struct Secret {
    text: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Secret {
    fn random() -> Self {
        let mut bytes = [0; 24];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        let text = format!("s3cr3t-{}", hex::encode(bytes));
        let forms = vec![
            ("raw", text.clone().into_bytes()),
            // Of Basic with the user `me`, from a block boundary on.
            (
                "base64",
                STANDARD.encode(format!("me:{text}")).into_bytes()[4..60].to_vec(),
            ),
            ("hex", hex::encode(&text).into_bytes()),
        ];
        Self { text, forms }
    }
}

/// An upstream that answers when it is told to.
struct Gate {
    asked: Arc<Notify>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            open: watch::Sender::new(false),
        }
    }

    async fn upstream(&self, stack: &Stack) -> Upstream {
        let (asked, open) = (Arc::clone(&self.asked), self.open.subscribe());
        Upstream::start(&stack.file(), &[], move |_| {
            let (asked, mut open) = (Arc::clone(&asked), open.clone());
            async move {
                asked.notify_one();
                drop(open.wait_for(|open| *open).await);
                Response::new(Full::new(Bytes::from_static(b"{\"done\":true}")))
            }
        })
        .await
    }
}

/// Where the secret is, by process.
fn held_by(stack: &Stack, secret: &Secret) -> Vec<(&'static str, Vec<Found>)> {
    let file = stack.file();
    file.pids()
        .into_iter()
        .filter_map(|(party, pid)| match scan(pid, &secret.forms) {
            Ok(found) => Some((party, found)),
            Err(error) => {
                assert!(!is_root(), "{party}: {error}");
                println!("{party} can be looked into by root alone: {error}");
                None
            }
        })
        .filter(|(_, found)| !found.is_empty())
        .collect()
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

/// One connection of each kind, and what was found of its secret.
struct Look {
    injection: &'static [&'static str],
    during: Vec<(&'static str, Vec<Found>)>,
    after: Vec<(&'static str, Vec<Found>)>,
}

/// Calls through each kind of connection at one time, while the upstream delays every answer; what
/// is found during the calls and ten seconds after.
async fn call_and_look(stack: &Stack, injections: &[&'static [&'static str]]) -> Vec<Look> {
    let gate = Gate::new();
    let upstream = gate.upstream(stack).await;
    let mut calls = Vec::new();
    for injection in injections {
        let secret = Secret::random();
        let options = [*injection, &["--allow", "GET /**"]].concat();
        let handle = stack.connect("memory", &upstream.base_url(), &secret.text, &options);
        let child = start_call(stack, &handle);
        gate.asked.notified().await;
        calls.push((*injection, secret, child));
    }
    let during: Vec<_> = calls
        .iter()
        .map(|(_, secret, _)| held_by(stack, secret))
        .collect();
    gate.open.send_replace(true);
    let mut secrets = Vec::new();
    for (injection, secret, child) in calls {
        finish(child);
        secrets.push((injection, secret));
    }
    assert_eq!(upstream.requests().len(), injections.len());
    // The promise is about time, so time is what passes here.
    tokio::time::sleep(GONE_AFTER).await;
    let looks = secrets
        .into_iter()
        .zip(during)
        .map(|((injection, secret), during)| {
            assert_nowhere_on_disk(stack, &secret);
            Look {
                injection,
                during,
                after: held_by(stack, &secret),
            }
        })
        .collect();
    assert_eq!(
        upstream.open_connections(),
        injections.len(),
        "connections are not pooled"
    );
    looks
}

fn start_call(stack: &Stack, handle: &str) -> Child {
    stack
        .command(&["call", handle, "GET", "/slow"])
        .spawn()
        .unwrap()
}

fn finish(mut call: Child) {
    assert!(call.wait().unwrap().success());
}

fn assert_nowhere_on_disk(stack: &Stack, secret: &Secret) {
    for file in files_below(stack.dir()) {
        let bytes = fs::read(&file).unwrap_or_default();
        for (form, needle) in &secret.forms {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} holds the secret ({form})", file.display());
        }
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.is_file())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_in_the_enclave_during_a_call_and_gone_after() {
    let stack = Stack::start();
    let injections: [&[&str]; 4] = [
        &["--bearer"],
        &["--basic", "me"],
        &["--header", "X-Api-Key: key {secret}"],
        &["--query", "api_key"],
    ];
    for Look {
        injection,
        during,
        after,
    } in call_and_look(&stack, &injections).await
    {
        // The positive control: what is there is found.
        let in_enclave = during.iter().any(|(party, _)| *party == "enclave");
        assert!(in_enclave || !is_root(), "{injection:?}: the scan is blind");
        let others: Vec<_> = during
            .iter()
            .filter(|(party, _)| *party != "enclave")
            .collect();
        assert!(
            others.is_empty(),
            "{injection:?}, during the call: {others:?}"
        );
        assert!(
            after.is_empty(),
            "{injection:?}, ten seconds after: {after:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scan_finds_an_enclave_that_does_not_wipe() {
    if !is_root() {
        println!("not shown: only root can look into the enclave");
        return;
    }
    let Some(folder) = dauth_tests::unwiped_binaries() else {
        panic!("no unwiped enclave: run this through `cargo xtask test`, which builds it");
    };
    let stack = Stack::start_with(&["--bin-dir", folder.path().to_str().unwrap()]);
    let looks = call_and_look(&stack, &[&["--bearer"]]).await;
    assert!(
        looks
            .iter()
            .any(|look| look.after.iter().any(|(party, _)| *party == "enclave")),
        "the enclave does not wipe, and the scan does not see it"
    );
}
