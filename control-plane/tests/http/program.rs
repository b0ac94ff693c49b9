//! The program itself: its configuration file, its log, its signals.
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use dauth_control_plane::Configuration;
use http::Method;
use tokio::net::TcpStream;

use crate::{
    owner::Party,
    stack::{HOST_CREDENTIAL, SECRET, configuration, form, send_on},
};

/// The program under a configuration, logging all it can.
fn program(directory: &Path, configuration: &Configuration) -> Command {
    let path = directory.join("control-plane.toml");
    std::fs::write(&path, toml::to_string(configuration).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dauth-control-plane"));
    command.arg("--config").arg(path).env("RUST_LOG", "trace");
    command.env("NO_COLOR", "1").stderr(Stdio::piped());
    command
}

/// Reads the log until the program says where it listens.
fn address(log: &mut BufReader<ChildStderr>, text: &mut String) -> SocketAddr {
    loop {
        let from = text.len();
        assert_ne!(log.read_line(text).unwrap(), 0, "it ended: {text}");
        let line = &text[from..];
        if let Some((_, rest)) = line.split_once("http=Some(") {
            return rest.split(')').next().unwrap().parse().unwrap();
        }
    }
}

fn terminate(child: &mut Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(
        child.wait().unwrap().success(),
        "SIGTERM ends it with success"
    );
}

#[tokio::test]
async fn logs_no_secret_token_or_proof_and_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = program(directory.path(), &configuration(directory.path()))
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    let address = address(&mut log, &mut text);

    let alice = Party::new("alice");
    let basic = alice.basic();
    let ask = async |proof: &str| {
        let fields = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", basic.as_str()),
            ("dpop", proof),
        ];
        let stream = TcpStream::connect(address).await.unwrap();
        let body = form(&[("grant_type", "client_credentials")]);
        send_on(stream, Method::POST, "/oauth2/token", &fields, &body).await
    };
    let refused = alice.proof("POST", "/oauth2/token", None, None);
    let nonce = ask(&refused).await.field("dpop-nonce").to_owned();
    let proof = alice.token_proof(&nonce);
    let reply = ask(&proof).await.json();
    let token = reply["access_token"].as_str().unwrap();
    let host = [("authorization", format!("Bearer {HOST_CREDENTIAL}"))];
    let host = host.each_ref().map(|(name, value)| (*name, value.as_str()));
    let stream = TcpStream::connect(address).await.unwrap();
    send_on(stream, Method::GET, "/internal/records/00", &host, "").await;

    terminate(&mut child);
    log.read_to_string(&mut text).unwrap();
    assert!(
        text.contains("token issued"),
        "the log is read at all: {text}"
    );
    let credentials = basic.trim_start_matches("Basic ");
    for canary in [
        SECRET,
        HOST_CREDENTIAL,
        credentials,
        token,
        &proof,
        &refused,
    ] {
        assert!(!text.contains(canary), "the log holds {canary}");
        // Not even a part of it.
        let part = &canary[canary.len() / 2..];
        assert!(!text.contains(part), "the log holds {part}");
    }
}

#[test]
fn a_mistake_is_one_clear_sentence_and_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let good = configuration(directory.path());
    let run = |configuration: &Configuration| -> Output {
        let mut command = program(directory.path(), configuration);
        command.env("RUST_LOG", "off").output().unwrap()
    };
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let cases = [
        (
            Configuration {
                store: Some("postgres://host/database".into()),
                ..good.clone()
            },
            "postgres:// is not supported yet",
        ),
        (
            Configuration {
                issuer: "http://as.example".into(),
                ..good.clone()
            },
            "issuer must be an https origin",
        ),
        (
            Configuration {
                listen: taken,
                ..good
            },
            "cannot listen on",
        ),
    ];
    for (configuration, sentence) in cases {
        let output = run(&configuration);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(sentence), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_mistake_in_the_file_is_one_line_that_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program(directory.path(), &configuration(directory.path()));
    let path = directory.path().join("control-plane.toml");
    std::fs::write(&path, "# A comment.\nissuer = 1\n").unwrap();
    let output = command.env("RUST_LOG", "off").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("control-plane.toml:2: invalid type"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}
