//! An enclave that its parent tells to stop, what it counts until then, and one that must not begin.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dauth_protocol::measurement::Pcr;
use dauth_tests::{Request, SecondEnclave, Stack, Upstream, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{UnixListener, UnixStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::{REPLY, SECRET, connect, is_served, upstream, wait_until_idle};

/// How the request begins that a parent holds open until its enclave is to stop.
const SHUTDOWN: &[u8] = b"GET /v1/shutdown ";
const GO: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// A parent's host services, but for that request, which the test holds open.
struct Host {
    asked: mpsc::UnboundedReceiver<()>,
    tell: Arc<Notify>,
    accepting: JoinHandle<()>,
}

impl Host {
    /// Listens at `socket`; everything else goes to the parent at `parent`.
    fn in_front_of(parent: PathBuf, socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let tell = Arc::new(Notify::new());
        let told = Arc::clone(&tell);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (parent, ask, told) = (parent.clone(), ask.clone(), Arc::clone(&told));
                tokio::spawn(serve(stream, parent, ask, told));
            }
        });
        Self {
            asked,
            tell,
            accepting,
        }
    }

    /// Resolves when the enclave has asked whether it is to stop: it serves.
    async fn asked(&mut self) {
        self.asked.recv().await.unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut enclave: UnixStream,
    parent: PathBuf,
    ask: mpsc::UnboundedSender<()>,
    told: Arc<Notify>,
) {
    let mut beginning = [0; SHUTDOWN.len()];
    if enclave.read_exact(&mut beginning).await.is_err() {
        return;
    }
    if beginning == SHUTDOWN {
        let _ = ask.send(());
        told.notified().await;
        let _ = enclave.write_all(GO).await;
        return;
    }
    let mut parent = UnixStream::connect(parent).await.unwrap();
    if parent.write_all(&beginning).await.is_ok() {
        let _ = copy_bidirectional(&mut enclave, &mut parent).await;
    }
}

/// The stack's profile, with another ingress.
fn profile_at(stack: &Stack, ingress: &str) -> PathBuf {
    let text = fs::read_to_string(stack.file().profile).unwrap();
    let mut profile: toml::Table = text.parse().unwrap();
    profile["ingress"] = ingress.into();
    let file = stack.dir().join("second/profile.toml");
    fs::write(&file, profile.to_string()).unwrap();
    file
}

/// How many receipts of a connection the control plane has.
fn receipts(stack: &Stack, handle: &str) -> usize {
    let ran = stack.dauth(&["audit", "fetch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let page: Value = serde_json::from_str(&ran.stdout).unwrap();
    let receipts = page["receipts"].as_array().unwrap().iter();
    let of_it = receipts.filter(|receipt| receipt["handle"] == handle);
    of_it.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_is_told_to_stop_ends_its_calls_and_leaves_no_receipt_behind() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gates = (Arc::clone(&came), Arc::clone(&go));
    let slow = move |_: Request| {
        let (came, go) = gates.clone();
        async move {
            came.notify_one();
            go.notified().await;
            Response::new(Full::new(Bytes::from_static(REPLY.as_bytes())))
        }
    };
    let upstream = Upstream::start(&stack.file(), &[], slow).await;
    let handle = connect(&stack, &upstream);
    let mut second = SecondEnclave::beside(&stack);
    second.wait_until_ready();
    let folder = stack.dir().join("second");
    let mut host = Host::in_front_of(folder.join("host.sock"), &folder.join("test.sock"));
    second.restart_enclave_with_host("test.sock");
    host.asked().await;

    let mut call = stack.command(&["call", &handle, "GET", "/slow"]);
    let call = call
        .env("DAUTH_PROFILE", profile_at(&stack, second.ingress()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    came.notified().await;
    host.tell.notify_one();
    // It is told once.
    let again = tokio::time::timeout(Duration::from_secs(3), host.asked()).await;
    assert!(again.is_err(), "it has understood");
    assert!(second.runs(), "a call is in progress");
    go.notify_one();
    let called = call.wait_with_output().unwrap();
    assert!(called.status.success(), "{called:?}");
    assert_eq!(called.stdout, REPLY.as_bytes());
    let (status, said) = second.wait_until_stopped();
    assert!(status.success(), "{status}: {said}");
    assert_eq!(receipts(&stack, &handle), 1);
    let parent_log = folder.join("parent.log");
    wait_until("the parent has written what it was told last", || {
        let log = fs::read_to_string(&parent_log).unwrap();
        log.contains(r#"{"event":"stopped"}"#)
    });
    let arrived = upstream.requests();
    let authorization = arrived.last().unwrap().headers["authorization"].clone();
    assert_eq!(authorization, format!("Bearer {SECRET}"));
}

/// In debug mode the parent reads what the enclave prints, and evidence names no image.
#[test]
fn an_enclave_in_debug_mode_does_not_begin_to_serve() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let mut second = SecondEnclave::of_image(&stack, Pcr::ZERO, |_| {});
    let said = second.wait_until_ended();
    assert!(said.contains("PCR0 is zero"), "{said}");
    assert!(said.contains("debug mode"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_tells_what_its_enclave_counts() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let upstream = upstream(&stack).await;
    let handle = connect(&stack, &upstream);
    assert!(is_served(&stack, &upstream, &handle));
    let refused = stack.dauth(&["call", &handle, "POST", "/served"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let metrics = stack.file().parent.metrics;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = dauth_tests::get(metrics.parse().unwrap()).await;
        let count = |name: &str, label: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name) && line.contains(label));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        };
        let figures = [
            count("dauth_enclave_calls_answered_total{", ""),
            count("dauth_enclave_admitted_total{", ""),
            count("dauth_enclave_refused_total{", "\"POLICY_DENIED\""),
            count("dauth_enclave_resident_bytes{", ""),
        ];
        if figures.iter().all(|figure| figure.is_some_and(|n| n > 0)) {
            return;
        }
        assert!(Instant::now() < deadline, "{figures:?} in\n{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
