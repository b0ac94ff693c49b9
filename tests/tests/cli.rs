//! The program's promises: help for every flag, usage errors, no secret in any output, log or file,
//! and the same flow with the shipped binaries.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use bytes::Bytes;
use dauth_simulator::ca::Authority;
use dauth_tests::{Ran, Stack, Upstream, binary, simulate_once, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;

/// Every command, and options that CONTRACT.md names for it or that followed.
const COMMANDS: [(&str, &str); 24] = [
    ("", "--profile --version"),
    (
        "simulate",
        "--state-dir --once --json --bin-dir --enclave-pcr0 --hosts",
    ),
    (
        "login",
        "--issuer --trust --release-key --configuration --pcr --root --ingress --client-id \
         --client-secret-file --output --json",
    ),
    ("doctor", "--eif --config --user --json"),
    (
        "connect",
        "--base-url --bearer --basic --header --query --allow --server --unpinned --expires \
         --secret-file --json",
    ),
    ("connections list", "--json"),
    ("connections show", "--json"),
    ("connections revoke", "--json"),
    ("connections rotate", "--json --secret-file"),
    ("call", "-H --data --include"),
    (
        "attest verify",
        "--root --pcr --trust --release-key --configuration --nonce --at --max-age --leeway \
         --allow-debug --json",
    ),
    ("attest fetch", "--ingress --json"),
    ("audit fetch", "--handle --since --evidence"),
    ("audit verify", "--evidence --at --partial --json"),
    (
        "kms-policy",
        "--account --region --role --pcr --lock --admin --json",
    ),
    ("keys create", "--keyset --timeout --json"),
    (
        "keys rotate",
        "--keyset --timeout --only --retire-after --json",
    ),
    ("keys retire", "--keyset --timeout --older-than --json"),
    ("keys rewrap", "--keyset --timeout --json"),
    ("keys status", "--keyset --verify --offline --json"),
    (
        "eif build",
        "--binary --kernel --init --cmdline --module --argument --heartbeat-cid --epoch --name \
         --image-version --arch --output --json",
    ),
    ("eif measure", "--json"),
    ("eif config", "--json"),
    (
        "release manifest",
        "--release --commit --eif --binary --output",
    ),
];

/// The help text of a command.
fn help_of(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let output = dauth(&words);
    assert_eq!(output.status.code(), Some(0), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

fn dauth(arguments: &[&str]) -> Output {
    Command::new(binary("dauth"))
        .args(arguments)
        .env_remove("DAUTH_PROFILE")
        .output()
        .unwrap()
}

/// The arguments and options that a help text lists without a word about them.
fn undocumented(help: &str) -> Vec<&str> {
    let lines: Vec<&str> = help.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_entry = |line: &str| {
        let text = line.trim_start();
        (1..=6).contains(&indent(line)) && text.starts_with(['-', '<', '['])
    };
    // What stands at the margin begins a section.
    let mut is_listed = false;
    let mut entries = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.is_empty() && indent(line) == 0 {
            is_listed = ["Options:", "Arguments:"].contains(line);
        }
        if is_listed && is_entry(line) {
            entries.push((at, line));
        }
    }
    assert!(!entries.is_empty(), "{help}");
    entries
        .iter()
        .filter(|(at, line)| {
            let beside = line.trim().split_once("  ").is_some();
            let below = lines
                .get(at + 1)
                .is_some_and(|next| !next.trim().is_empty() && !is_entry(next) && indent(next) > 6);
            !beside && !below
        })
        .map(|(_, line)| line.trim())
        .collect()
}

#[test]
fn help_documents_every_flag() {
    for (command, options) in COMMANDS {
        let help = help_of(command);
        for option in options.split_whitespace() {
            assert!(help.contains(option), "{command:?} has no {option}: {help}");
        }
        assert_eq!(undocumented(&help), [""; 0], "{command:?}");
    }
    // The check itself: a flag without help is found.
    assert_eq!(
        undocumented("Options:\n      --bare\n  -h, --help  Print help"),
        ["--bare"]
    );
}

#[test]
fn help_of_the_shipped_programs_documents_every_flag() {
    for name in [
        "dauth-parent",
        "dauth-control-plane",
        "dauth-kms-sim",
        "dauth-enclave-sim",
    ] {
        let output = Command::new(binary(name)).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("--config <FILE>"), "{name}: {help}");
        assert_eq!(undocumented(&help), [""; 0], "{name}");
    }
}

#[test]
fn no_option_takes_a_secret() {
    for (command, _) in COMMANDS {
        let help = help_of(command);
        for option in [
            "--secret ",
            "--secret=",
            "--password",
            "--token ",
            "--client-secret ",
            "--client-secret=",
        ] {
            assert!(!help.contains(option), "{command:?} has {option}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let connect = ["connect", "x", "--base-url", "https://api.test"];
    let bad: [&[&str]; 13] = [
        &[],
        &["no-such-command"],
        &["simulate", "--no-such-flag"],
        &["simulate", "--enclave-pcr0", "00"],
        &["simulate", "--once", "--bin-dir", "no-such-folder"],
        &connect,
        &["connect", "x", "--bearer"],
        &["connect", "x", "--base-url", "http://api.test", "--bearer"],
        &[
            "connect",
            "x",
            "--base-url",
            "https://api.test",
            "--bearer",
            "--query",
            "key",
        ],
        &[
            "connect",
            "x",
            "--base-url",
            "https://api.test",
            "--bearer",
            "--allow",
            "GET",
        ],
        &["call", "no-handle", "GET", "/"],
        &["connections", "show", "ddls:other:1"],
        // No profile is named.
        &["connections", "list"],
    ];
    for arguments in bad {
        let output = dauth(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!stderr.is_empty(), "{arguments:?}");
    }
    let output = dauth(&["--profile", "no-such-file", "connections", "list"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no-such-file"), "{stderr}");
}

fn held(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["held"], true, "{json}");
    let steps = json["steps"].as_array().unwrap();
    assert!(
        steps.len() >= 8 && steps.iter().all(|step| step["held"] == true),
        "{json}"
    );
    json
}

#[test]
fn simulate_once_tells_its_steps_as_json() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("state");
    let first = held(&simulate_once(&dir, &["--json"]));
    assert_eq!(first["parties"].as_object().unwrap().len(), 7);
    // On what the first left: the connection is there, and gets a new secret.
    held(&simulate_once(&dir, &["--json"]));
}

#[test]
fn the_shipped_binaries_go_through_the_same_flow() {
    let folder = binary("dauth").parent().unwrap().to_owned();
    let stack = Stack::start_with(&["--bin-dir", folder.to_str().unwrap()]);
    wait_until("the flow holds", || {
        stack.output().contains("Every step held.")
    });
    let pids = stack.file().pids();
    for (party, name) in [
        ("kms", "dauth-kms-sim"),
        ("control plane", "dauth-control-plane"),
        ("parent", "dauth-parent"),
        ("enclave", "dauth-enclave-sim"),
    ] {
        let command = fs::read(format!("/proc/{}/cmdline", pids[party])).unwrap();
        let program = command.split(|byte| *byte == 0).next().unwrap();
        assert_eq!(
            program,
            folder.join(name).to_str().unwrap().as_bytes(),
            "{party}"
        );
    }
}

/// A secret with characters that encodings change, and every form of it to look for.
struct Secret {
    text: String,
    forms: Vec<(&'static str, String)>,
}

impl Secret {
    fn random() -> Self {
        let mut bytes = [0; 24];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        let text = format!("s3cr+t/{}=~?", hex::encode(bytes));
        let mut forms = vec![
            ("raw", text.clone()),
            ("hex", hex::encode(&text)),
            ("HEX", hex::encode_upper(&text)),
            (
                "percent",
                text.replace('+', "%2B")
                    .replace('/', "%2F")
                    .replace('=', "%3D"),
            ),
            ("json", text.replace('/', "\\/")),
            // What tracing's Debug of bytes prints.
            (
                "bytes",
                format!("{:?}", text.as_bytes())
                    .trim_matches(['[', ']'])
                    .to_owned(),
            ),
        ];
        for (name, engine) in [("base64", STANDARD), ("base64url", URL_SAFE)] {
            for skipped in 0..3 {
                // The part whose encoding does not depend on what stands before and after.
                let whole = text.len() - (text.len() - skipped) % 3;
                forms.push((name, engine.encode(&text.as_bytes()[skipped..whole])));
            }
        }
        Self { text, forms }
    }

    /// Which form of it, and where in `bytes`.
    fn form_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let holds = |form: &str| {
            bytes
                .windows(form.len())
                .any(|window| window == form.as_bytes())
        };
        self.forms
            .iter()
            .find(|(_, form)| holds(form))
            .map(|(name, _)| *name)
    }

    /// Where below `dir` a form of it is. Logs at the lowest level are long, hence grep.
    fn found_below(&self, dir: &Path) -> Vec<String> {
        let forms: String = self
            .forms
            .iter()
            .map(|(_, form)| format!("{form}\n"))
            .collect();
        let patterns = tempfile::NamedTempFile::new().unwrap();
        fs::write(&patterns, forms).unwrap();
        let output = Command::new("grep")
            .args([
                "--recursive",
                "--text",
                "--fixed-strings",
                "--only-matching",
            ])
            .args(["--devices=skip", "--file"])
            .arg(patterns.path())
            .arg(dir)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        // 1: nothing found; more: an error.
        assert!(
            output.status.code().is_some_and(|code| code <= 1),
            "{output:?}"
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed_logged_or_stored_at_any_level() {
    let stack = Stack::start_in_environment(&[], &[("RUST_LOG", "trace")]);
    let file = stack.file();
    // It answers with all that it was sent, so that the reply holds the secret as well.
    let echo = |request: dauth_tests::Request| async move {
        let text = format!("{} {:?}", request.uri, request.headers);
        Response::new(Full::new(Bytes::from(text)))
    };
    let upstream = Upstream::start(&file, &[], echo).await;
    let stranger = Authority::create("nobody's").unwrap();
    let untrusted = Upstream::start_with_authority(&stranger, &[], echo).await;

    let secret = Secret::random();
    let secret_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&secret_file, &secret.text).unwrap();
    let mut outputs: Vec<Ran> = Vec::new();
    let mut run = |arguments: &[&str]| {
        let output = stack
            .command(arguments)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        outputs.push(Ran::from(output));
        outputs.last().unwrap().stdout.trim_end().to_owned()
    };
    let secret_file = secret_file.path().to_str().unwrap();
    for (name, base_url, injection) in [
        ("bearer", upstream.base_url(), &["--bearer"][..]),
        ("basic", upstream.base_url(), &["--basic", "user"]),
        (
            "header",
            upstream.base_url(),
            &["--header", "X-Api-Key: key {secret}"],
        ),
        ("query", upstream.base_url(), &["--query", "api_key"]),
        ("untrusted", untrusted.base_url(), &["--bearer"]),
    ] {
        let connect = [
            "connect",
            name,
            "--base-url",
            &base_url,
            "--allow",
            "GET,POST /echo/**",
        ];
        let secret_option = ["--secret-file", secret_file];
        let handle = run(&[&connect, injection, &secret_option].concat());
        assert!(handle.starts_with("ddls:conn:"), "{name}: {handle}");
        run(&["call", &handle, "GET", "/echo/1?a=b", "--include"]);
        run(&[
            "call",
            &handle,
            "POST",
            "/echo/2",
            "--data",
            "body",
            "--include",
        ]);
        run(&["call", &handle, "GET", "/elsewhere"]);
        run(&[
            "connections",
            "rotate",
            &handle,
            "--secret-file",
            secret_file,
        ]);
        run(&["call", &handle, "GET", "/echo/3"]);
        run(&["connections", "show", &handle, "--json"]);
    }
    let arrived = upstream.requests();
    assert!(arrived.len() >= 12, "{}", arrived.len());
    let text = format!(
        "{:?}",
        arrived
            .iter()
            .map(|r| (&r.uri, &r.headers))
            .collect::<Vec<_>>()
    );
    assert!(
        text.contains(&secret.text),
        "the secret did not reach the upstream"
    );

    for ran in &outputs {
        for text in [&ran.stdout, &ran.stderr] {
            assert_eq!(secret.form_in(text.as_bytes()), None, "{text}");
        }
    }
    wait_until("the flow holds", || {
        stack.output().contains("Every step held.")
    });
    assert_eq!(secret.form_in(stack.output().as_bytes()), None);
    assert!(
        stack.logs().contains("TRACE"),
        "the parties do not log at the level asked for"
    );
    assert_eq!(secret.found_below(stack.dir()), [""; 0]);

    // The search finds each form where it is.
    for (name, form) in &secret.forms {
        let control = stack.dir().join("logs/control.log");
        fs::write(&control, format!("before{form}after")).unwrap();
        let found = secret.found_below(stack.dir());
        assert!(!found.is_empty(), "{name}");
        fs::remove_file(control).unwrap();
    }
}
