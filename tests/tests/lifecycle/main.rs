//! Parties that die, stacks that stop and start again: no connection is lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod stop;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use dauth_attested_tls::connect as connect_attested;
use dauth_dispatch::DpopKey;
use dauth_simulator::mcp_client::call_tool;
use dauth_tests::{Stack, StackFile, Upstream, simulate_once, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpStream;

const SECRET: &str = "lifecycle-secret-0123456789";
const REPLY: &str = "{\"served\":true}";

async fn upstream(stack: &Stack) -> Upstream {
    Upstream::start(&stack.file(), &[], |_| async {
        Response::new(Full::new(Bytes::from_static(REPLY.as_bytes())))
    })
    .await
}

fn connect(stack: &Stack, upstream: &Upstream) -> String {
    let options = ["--bearer", "--allow", "GET /**"];
    stack.connect("lifecycle", &upstream.base_url(), SECRET, &options)
}

/// Whether a call through the connection brings the secret to the upstream, and its reply back.
fn is_served(stack: &Stack, upstream: &Upstream, handle: &str) -> bool {
    let before = upstream.requests().len();
    let ran = stack.dauth(&["call", handle, "GET", "/served"]);
    if ran.code != 0 {
        return false;
    }
    let requests = upstream.requests();
    let arrived = &requests[before];
    assert_eq!(arrived.headers["authorization"], format!("Bearer {SECRET}"));
    assert_eq!(ran.stdout, REPLY);
    true
}

/// Waits until the flow that `dauth simulate` goes through once is over: a party killed before that
/// would make a step fail.
fn wait_until_idle(stack: &Stack) {
    wait_until("the flow ends", || {
        stack.output().contains("To connect a credential")
    });
    let output = stack.output();
    assert!(output.contains("Every step held."), "{output}");
}

fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill {signal} {pid}");
}

fn lives(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// `stack.json` without what may differ from start to start.
fn kept(stack: &Stack) -> Value {
    let text = fs::read_to_string(stack.dir().join("stack.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    for party in file
        .as_object_mut()
        .unwrap()
        .values_mut()
        .filter_map(Value::as_object_mut)
    {
        party.remove("pid");
    }
    file
}

/// Keyset id and generation, as the enclave attests them.
async fn keyset(stack: &Stack) -> (Vec<u8>, u64) {
    let file = stack.file();
    let stream = TcpStream::connect(&file.parent.ingress).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let session = connect_attested(stream, &file.expectations(), now_ms, [7; 32])
        .await
        .unwrap();
    let configuration = session.key_configuration();
    (configuration.keyset_id.to_vec(), configuration.generation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_enclave_comes_back_with_its_keys() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let upstream = upstream(&stack).await;
    let handle = connect(&stack, &upstream);
    assert!(is_served(&stack, &upstream, &handle));
    let keyset_before = keyset(&stack).await;
    let (before, kept_before) = (stack.file().pids(), kept(&stack));

    kill("-KILL", before["enclave"]);
    wait_until("stack.json names the new enclave", || {
        stack.file().enclave.pid != before["enclave"]
    });
    wait_until("the enclave serves again", || {
        is_served(&stack, &upstream, &handle)
    });

    let after = stack.file().pids();
    for (party, pid) in &before {
        let has_changed = after[party] != *pid;
        assert_eq!(has_changed, *party == "enclave", "{party}");
    }
    assert_eq!(kept(&stack), kept_before);
    assert_eq!(keyset(&stack).await, keyset_before);
}

/// Whether the demo tool reaches the demo API through the MCP server.
async fn tool_is_served(file: &StackFile) -> bool {
    let key = DpopKey::generate().unwrap();
    let resource = &file.clients.mcp.resource;
    let tokens = file.clients.sdk.tokens(file);
    let token = tokens
        .client_credentials(resource, Some("demo:call"), &key)
        .await
        .unwrap();
    let result = call_tool(
        resource,
        token,
        Arc::new(key),
        "whoami",
        serde_json::Map::new(),
    )
    .await;
    result.is_ok_and(|result| result["status"] == 200)
}

/// The MCP server holds an attested session with the enclave: it must make a new one by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_server_finds_the_enclave_that_took_over() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let file = stack.file();
    assert!(tool_is_served(&file).await);
    kill("-KILL", file.enclave.pid);
    wait_until("stack.json names the new enclave", || {
        stack.file().enclave.pid != file.enclave.pid
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while !tool_is_served(&file).await {
        assert!(
            Instant::now() < deadline,
            "the MCP server never reached the new enclave"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_party_that_dies_is_started_again() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let upstream = upstream(&stack).await;
    let handle = connect(&stack, &upstream);
    let before = stack.file().pids();
    for pid in before.values() {
        kill("-KILL", *pid);
    }
    wait_until("stack.json names new parties", || {
        let after = stack.file().pids();
        after
            .iter()
            .all(|(party, pid)| *pid != before[party] && lives(*pid))
    });
    wait_until("the stack serves again", || {
        is_served(&stack, &upstream, &handle)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_connections_keyset_ports_and_measurements() {
    let mut stack = Stack::start();
    wait_until_idle(&stack);
    let upstream = upstream(&stack).await;
    let handle = connect(&stack, &upstream);
    let before = (kept(&stack), keyset(&stack).await);
    let keyset_file = stack.dir().join("parent/keyset.cbor");
    let keyset_bytes = fs::read(&keyset_file).unwrap();
    let names = |stack: &Stack| {
        let listed = stack.dauth(&["connections", "list", "--json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let of = |connection: &Value, key: &str| connection[key].as_str().unwrap().to_owned();
        let all = listed["connections"].as_array().unwrap().iter();
        all.map(|c| (of(c, "handle"), of(c, "name")))
            .collect::<BTreeMap<_, _>>()
    };
    let connections = names(&stack);
    assert_eq!(
        connections.get(&handle).map(String::as_str),
        Some("lifecycle")
    );

    stack.restart();
    wait_until_idle(&stack);
    assert_eq!((kept(&stack), keyset(&stack).await), before);
    assert_eq!(fs::read(&keyset_file).unwrap(), keyset_bytes);
    assert_eq!(names(&stack), connections);
    assert!(is_served(&stack, &upstream, &handle), "{}", stack.logs());
}

#[test]
fn a_signal_stops_every_party() {
    let mut stack = Stack::start();
    let first = stack.file().pids();
    stack.stop();
    for (party, pid) in &first {
        assert!(!lives(*pid), "{party} is left");
    }
    TcpListener::bind(&stack.file().parent.ingress).unwrap();

    // Ctrl-C is SIGINT.
    stack.restart();
    let second = stack.file().pids();
    kill("-INT", stack.supervisor());
    wait_until("every party stops on SIGINT", || {
        second.values().all(|pid| !lives(*pid))
    });
    stack.stop();

    // A supervisor that is killed leaves nothing behind.
    stack.restart();
    let third = stack.file().pids();
    kill("-KILL", stack.supervisor());
    wait_until("every party stops without its supervisor", || {
        third.values().all(|pid| !lives(*pid))
    });
    stack.restart();
}

#[test]
fn a_state_directory_has_one_simulation_at_a_time() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let before = stack.file().pids();
    let second = simulate_once(stack.dir(), &[]);
    assert_eq!(
        (second.code, second.stdout.as_str()),
        (1, ""),
        "{}",
        second.stderr
    );
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    for part in [
        "another simulation runs on",
        &stack.dir().display().to_string(),
        "--state-dir",
    ] {
        assert!(second.stderr.contains(part), "{}", second.stderr);
    }
    assert_eq!(stack.file().pids(), before);
    assert_eq!(stack.dauth(&["attest", "fetch"]).code, 0);
}

#[test]
fn a_taken_port_is_named() {
    let mut stack = Stack::start();
    stack.stop();
    let file = stack.file();
    let without_scheme = |url: &str| url.split('/').nth(2).unwrap().to_owned();
    for address in [
        file.parent.ingress.clone(),
        without_scheme(&file.issuer),
        without_scheme(&file.kms.url),
        without_scheme(&file.mcp.url),
    ] {
        let taken = TcpListener::bind(&address).unwrap();
        let ran = stack.simulate_once(&[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(&address), "{}", ran.stderr);
        drop(taken);
    }
    stack.restart();
}
