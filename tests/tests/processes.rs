//! Who is connected to whom, and who may read which file: as the kernel tells it.
//!
//! The descriptors of the enclave, which is not dumpable, are root's to read; without root the test
//! says so and looks at what it can.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use dauth_tests::{Stack, Upstream, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::Notify;

/// The inodes of a process's sockets.
fn sockets(pid: u32) -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor that was closed in between is none.
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let inode = target
            .to_str()
            .and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(inode.and_then(|i| i.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// An established TCP connection's end on this machine.
#[derive(Debug)]
struct End {
    local_port: u16,
    remote_port: u16,
    inode: u64,
}

/// `/proc/net/tcp` (proc_pid_net(5)): state 01 is ESTABLISHED.
fn established() -> Vec<End> {
    table("tcp")
        .iter()
        .filter(|row| row[3] == "01")
        .map(|row| {
            let port =
                |field: &str| u16::from_str_radix(field.rsplit_once(':').unwrap().1, 16).unwrap();
            End {
                local_port: port(&row[1]),
                remote_port: port(&row[2]),
                inode: row[9].parse().unwrap(),
            }
        })
        .collect()
}

/// The rows of a table of `/proc/net`, without its heading; none where the kernel lacks it.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    text.lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// Every socket that could reach a network, by inode.
fn inet_inodes() -> BTreeSet<u64> {
    [
        "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6",
    ]
    .iter()
    .flat_map(|name| table(name))
    .map(|row| row[9].parse().unwrap())
    .collect()
}

/// Unix sockets by inode, each with its path where it has one.
fn unix_sockets() -> BTreeMap<u64, Option<String>> {
    table("unix")
        .iter()
        .map(|row| (row[6].parse().unwrap(), row.get(7).cloned()))
        .collect()
}

fn field_of(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

#[test]
fn every_party_is_a_process_of_its_own() {
    let stack = Stack::start();
    let pids = stack.file().pids();
    let distinct: BTreeSet<u32> = pids.values().copied().collect();
    assert_eq!(distinct.len(), pids.len(), "{pids:?}");
    assert!(!distinct.contains(&stack.supervisor()));
    for (party, pid) in &pids {
        // A thread's Tgid is another's; a process's is its own.
        assert_eq!(field_of(*pid, "Tgid"), Some(pid.to_string()), "{party}");
        assert_eq!(
            field_of(*pid, "PPid"),
            Some(stack.supervisor().to_string()),
            "{party}"
        );
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        assert!(
            command.contains(&party.replace(' ', "-")),
            "{party}: {command}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "a test that sees less says so")]
async fn no_socket_joins_enclave_and_upstream_but_through_the_parent() {
    let stack = Stack::start();
    let file = stack.file();
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = (Arc::clone(&asked), Arc::clone(&answer));
    let upstream = Upstream::start(&file, &[], move |_| {
        let (asked, answer) = gate.clone();
        async move {
            asked.notify_one();
            answer.notified().await;
            Response::new(Full::new(Bytes::from_static(b"done")))
        }
    })
    .await;
    let base_url = upstream.base_url();
    let port: u16 = base_url.rsplit_once(':').unwrap().1.parse().unwrap();
    let options = ["--bearer", "--allow", "GET /**"];
    let handle = stack.connect("held", &base_url, "processes-secret-0123456789", &options);
    let call = stack
        .command(&["call", &handle, "GET", "/held"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    asked.notified().await;

    // While the upstream holds the call: one connection leads to it, and the parent has its end.
    let to_upstream: Vec<End> = established()
        .into_iter()
        .filter(|end| end.remote_port == port)
        .collect();
    assert_eq!(to_upstream.len(), 1, "{to_upstream:?}");
    let of_parent = sockets(file.parent.pid).unwrap();
    assert!(of_parent.contains(&to_upstream[0].inode), "{to_upstream:?}");
    let own = sockets(std::process::id()).unwrap();
    let from_upstream: Vec<End> = established()
        .into_iter()
        .filter(|end| end.local_port == port)
        .collect();
    assert!(
        from_upstream.iter().all(|end| own.contains(&end.inode)),
        "{from_upstream:?}"
    );
    for (party, pid) in file
        .pids()
        .into_iter()
        .filter(|(party, _)| *party != "parent")
    {
        match sockets(pid) {
            Ok(inodes) => assert!(!inodes.contains(&to_upstream[0].inode), "{party}"),
            Err(error) => eprintln!("SKIPPED: the descriptors of {party} need root ({error})"),
        }
    }

    // The enclave has no socket of any network, and unix sockets to its parent alone.
    if let Ok(of_enclave) = sockets(file.enclave.pid) {
        let inet = inet_inodes();
        assert!(!of_enclave.is_empty());
        assert!(
            of_enclave.is_disjoint(&inet),
            "the enclave has a socket of the network"
        );
        assert!(
            !of_parent.is_disjoint(&inet),
            "the search finds no socket of the parent's"
        );
        let unix = unix_sockets();
        let mut paths = BTreeSet::new();
        for inode in &of_enclave {
            match unix.get(inode) {
                Some(path) => paths.extend(path.clone()),
                // Closed between the two looks, as those are by which receipts and events go.
                None => assert!(
                    !sockets(file.enclave.pid).unwrap().contains(inode),
                    "socket {inode} is not unix"
                ),
            }
        }
        assert_eq!(paths, BTreeSet::from(["run/enclave.sock".to_owned()]));
        // Nobody but the parent listens where the enclave connects to.
        let host = unix
            .iter()
            .filter(|(_, path)| path.as_deref() == Some("run/host.sock"));
        let host: Vec<u64> = host.map(|(inode, _)| *inode).collect();
        assert!(!host.is_empty());
        assert!(
            host.iter().any(|inode| of_parent.contains(inode))
                && own.is_disjoint(&host.iter().copied().collect())
        );
        let of_demo: BTreeSet<u64> = sockets(file.upstream.pid).unwrap();
        assert!(
            of_demo
                .iter()
                .all(|inode| unix.get(inode).is_none_or(Option::is_none))
        );
    }

    answer.notify_one();
    let output = call.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"done");
}

#[test]
fn stack_json_is_whole_and_private() {
    let stack = Stack::start();
    let path = stack.dir().join("stack.json");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    // CONTRACT.md, `dauth simulate`.
    for (pointer, prefix) in [
        ("/issuer", "http://127.0.0.1:"),
        ("/profile", "/"),
        ("/control_plane/url", "http://127.0.0.1:"),
        ("/control_plane/jwks", "https://"),
        ("/control_plane/store/path", "/"),
        ("/control_plane/store/table", ""),
        ("/control_plane/store/column", ""),
        ("/parent/ingress", "127.0.0.1:"),
        ("/parent/metrics", "http://"),
        ("/enclave/resource", "https://"),
        ("/kms/url", "https://"),
        ("/gateway/url", "http://"),
        ("/gateway/key", ""),
        ("/gateway/deployment_id", ""),
        ("/gateway/auth_secret", ""),
        ("/mcp/url", "http://"),
        ("/upstream/url", "https://"),
        ("/ca/cert", "/"),
        ("/ca/key", "/"),
        ("/trust/root", "/"),
        ("/clients/sdk/client_id", ""),
        ("/clients/sdk/client_secret", ""),
        ("/clients/mcp/client_id", ""),
        ("/clients/mcp/client_secret", ""),
        ("/clients/mcp/resource", "http://"),
    ] {
        let text = file.pointer(pointer).and_then(Value::as_str);
        let text = text.unwrap_or_else(|| panic!("stack.json lacks {pointer}"));
        assert!(
            !text.is_empty() && text.starts_with(prefix),
            "{pointer}: {text}"
        );
    }
    for index in ["0", "1", "2", "16"] {
        let pcr = file["trust"]["pcrs"][index].as_str().unwrap();
        assert_eq!(hex::decode(pcr).unwrap().len(), 48, "PCR{index}");
    }
    for party in [
        "control_plane",
        "parent",
        "enclave",
        "kms",
        "gateway",
        "mcp",
        "upstream",
    ] {
        assert!(file[party]["pid"].is_u64(), "{party}");
    }
    assert!(file["mcp"]["url"].as_str().unwrap().ends_with("/mcp"));
    for pointer in [
        "/profile",
        "/control_plane/store/path",
        "/ca/cert",
        "/ca/key",
        "/trust/root",
    ] {
        let path = file.pointer(pointer).and_then(Value::as_str).unwrap();
        assert!(Path::new(path).is_file(), "{pointer}: {path}");
    }
}

#[test]
fn nothing_in_the_state_directory_is_for_others() {
    let stack = Stack::start();
    wait_until("the flow ends", || {
        stack.output().contains("To connect a credential")
    });
    let mut waiting = vec![stack.dir().to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "{} has mode {mode:o}", path.display());
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if metadata.is_file() {
            // The hash of a public key, for operators to copy.
            let is_public = path.ends_with("control-plane/tls-spki-sha256");
            assert!(
                mode == 0o600 || is_public,
                "{} has mode {mode:o}",
                path.display()
            );
            files.push(path);
        }
    }
    for name in [
        "profile.toml",
        "stack.json",
        "keyset.cbor",
        "master-key",
        "control-plane.db",
    ] {
        assert!(
            files.iter().any(|file| file.ends_with(name)),
            "{name} was not looked at"
        );
    }
}
