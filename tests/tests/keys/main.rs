//! `dauth keys` and `dauth kms-policy`, as an operator has them: what they print, and what they say
//! when something is wrong. What the enclave does with the keys meanwhile is in `custody/`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod loss;
mod orders;
mod policy;
mod status;

use std::{path::PathBuf, process::Command};

use bytes::Bytes;
use dauth_tests::{Ran, Stack, Upstream, binary, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;

const SECRET: &str = "keys-secret-0123456789";

/// `dauth` without a profile.
fn dauth(arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary("dauth"));
    command.args(arguments).env_remove("DAUTH_PROFILE");
    command.output().unwrap().into()
}

/// `dauth keys` with the stack's profile.
fn keys(stack: &Stack, arguments: &[&str]) -> Ran {
    stack.dauth(&[&["keys"], arguments].concat())
}

/// The keyset file of the stack's parent.
fn keyset_file(stack: &Stack) -> PathBuf {
    stack.dir().join("parent/keyset.cbor")
}

/// Standard output of a command that succeeded, as JSON.
#[track_caller]
fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Failed with a sentence that holds `words`, and nothing on stdout that could pass for a result.
#[track_caller]
fn refused<'a>(ran: &'a Ran, words: &[&str]) -> &'a str {
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    // Before it may stand that the command waits.
    let sentence = ran.stderr.trim_end().lines().last().unwrap_or_default();
    assert!(sentence.starts_with("dauth: "), "{ran:?}");
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in {sentence}");
    }
    sentence
}

/// An upstream that answers, and a connection to it.
async fn connection(stack: &Stack) -> (Upstream, String) {
    let upstream = Upstream::start(&stack.file(), &[], |_| async {
        Response::new(Full::new(Bytes::from_static(b"served")))
    })
    .await;
    let options = ["--bearer", "--allow", "GET /**"];
    let handle = stack.connect("keys", &upstream.base_url(), SECRET, &options);
    (upstream, handle)
}

#[track_caller]
fn assert_calls_work(stack: &Stack, handle: &str) {
    let ran = stack.dauth(&["call", handle, "GET", "/"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "served"), "{ran:?}");
}

/// Waits until `dauth simulate` has gone through its flow: it is a client too.
fn wait_until_idle(stack: &Stack) {
    wait_until("the flow holds", || {
        stack.output().contains("Every step held.")
    });
}
