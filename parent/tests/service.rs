//! The program as a service: what it tells the service manager, what a reload changes, who it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes helpers outside #[test] for no tests"
)]
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

struct Parent {
    folder: TempDir,
    process: Child,
    manager: UnixDatagram,
}

impl Parent {
    /// With these lines in the configuration's `[egress]`, and further sections.
    fn start(egress: &str, sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        Self::start_in(folder, log.into(), egress, sections)
    }

    fn start_in(folder: TempDir, log: Stdio, egress: &str, sections: &str) -> Self {
        write_configuration(folder.path(), egress, sections);
        fs::write(folder.path().join("credential"), "host-credential").unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_dauth-parent"))
            .arg("--config")
            .arg(folder.path().join("parent.toml"))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", "300000")
            .env_remove("RUST_LOG")
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            folder,
            process,
            manager,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until the log, which has a thread of its own, holds these words.
    fn logs(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "{words}: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Waits until the service manager is told something that begins so.
    fn tells(&self, beginning: &str) -> String {
        let mut text = [0; 256];
        loop {
            let length = match self.manager.recv(&mut text) {
                Ok(length) => length,
                Err(error) => panic!("{beginning} is not told ({error}): {}", self.log()),
            };
            let text = std::str::from_utf8(&text[..length]).unwrap();
            if text.starts_with(beginning) {
                return text.to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn reload(&self, egress: &str, sections: &str) {
        write_configuration(self.folder.path(), egress, sections);
        self.signal("-HUP");
        self.tells("RELOADING=1\nMONOTONIC_USEC=");
        self.tells("READY=1");
    }

    /// The status of `CONNECT target`.
    fn connect(&self, target: &str) -> String {
        let mut stream = UnixStream::connect(self.path("host.sock")).unwrap();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8(status[9..].to_vec()).unwrap()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_configuration(folder: &Path, egress: &str, sections: &str) {
    let path = folder.display();
    let text = format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        listen_unix = "{path}/ingress.sock"
        enclave = {{ unix = "{path}/enclave.sock" }}
        [host]
        listen = {{ unix = "{path}/host.sock" }}
        configuration_file = "{path}/deployment"
        keyset_file = "{path}/keyset"
        [records]
        control_plane = "http://127.0.0.1:9"
        credential_file = "{path}/credential"
        [egress]
        {egress}
        {sections}
        "#
    );
    fs::write(folder.join("parent.toml"), text).unwrap();
}

const AS_ROOT: &str = "[process]\nas_root = \"permitted\"";

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (unread, log) = std::io::pipe().unwrap();
    let parent = Parent::start_in(tempfile::tempdir().unwrap(), log.into(), "", AS_ROOT);
    parent.tells("READY=1");
    // Each leaves a line, and a pipe holds 64 KiB.
    for _ in 0..2000 {
        assert_eq!(parent.connect("169.254.169.254:80"), "403");
    }
    parent.tells("WATCHDOG=1");
    drop(unread);
}

#[test]
fn the_service_manager_is_told_what_happens() {
    let mut parent = Parent::start("", AS_ROOT);
    assert_eq!(
        parent.tells("READY"),
        "READY=1\nSTATUS=1 of 1 enclaves serve\n"
    );
    parent.tells("WATCHDOG=1");
    parent.tells("WATCHDOG=1");
    parent.signal("-TERM");
    parent.tells("STOPPING=1");
    assert!(parent.process.wait().unwrap().success());
}

#[test]
fn a_reload_changes_what_may_be_reached_and_a_mistake_changes_nothing() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = upstream.local_addr().unwrap().to_string();
    let parent = Parent::start("", AS_ROOT);
    parent.tells("READY");
    assert_eq!(parent.connect(&target), "403");
    parent.reload("permit = [\"127.0.0.0/8\"]", AS_ROOT);
    assert_eq!(parent.connect(&target), "200");
    for (mistake, words) in [
        ("permit = [\"127.0.0.0\"]", "all stays as it was"),
        ("permits = []", "unknown field"),
        (
            "hosts_file = \"/nowhere/hosts\"",
            "cannot read the hosts file",
        ),
    ] {
        parent.reload(mistake, AS_ROOT);
        parent.logs(words);
        assert_eq!(parent.connect(&target), "200", "{mistake}");
    }
    let loud = format!("{AS_ROOT}\n[log]\nlevel = \"nonsense=nonsense\"");
    parent.reload("", &loud);
    parent.logs("[log] level");
    assert_eq!(parent.connect(&target), "200", "all or nothing");
    parent.reload("", AS_ROOT);
    assert_eq!(parent.connect(&target), "403");
}

#[test]
fn a_reload_changes_the_log_level_and_says_what_takes_a_restart() {
    let parent = Parent::start("", AS_ROOT);
    parent.tells("READY");
    parent.connect("127.0.0.1:443");
    parent.logs("egress: 127.0.0.1 is refused");
    let quiet = format!("{AS_ROOT}\n[log]\nlevel = \"error\"\n[monitor]\nlisten = \"127.0.0.1:0\"");
    parent.reload("", &quiet);
    parent.connect("127.0.0.2:443");
    let moved = quiet.replace("\"error\"", "\"info\"");
    parent.reload("", &moved);
    parent.reload("", &moved);
    parent.logs("[monitor] has changed: that takes a restart");
    let log = parent.log();
    assert!(!log.contains("127.0.0.2"), "{log}");
}

#[test]
fn clients_of_this_host_connect_by_a_unix_socket() {
    let parent = Parent::start("", AS_ROOT);
    parent.tells("READY");
    let enclave = UnixListener::bind(parent.path("enclave.sock")).unwrap();
    let mut client = UnixStream::connect(parent.path("ingress.sock")).unwrap();
    client.write_all(b"hello").unwrap();
    let (mut relayed, _) = enclave.accept().unwrap();
    let mut heard = [0; 5];
    relayed.read_exact(&mut heard).unwrap();
    relayed.write_all(b"there").unwrap();
    drop(relayed);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!((&heard, answer.as_slice()), (b"hello", &b"there"[..]));
}

#[test]
fn it_does_not_stay_root_unless_it_is_told_to() {
    let is_root = status_of("self", "Uid:").starts_with('0');
    let mut parent = Parent::start("", "");
    match is_root {
        true => {
            assert_eq!(parent.process.wait().unwrap().code(), Some(1));
            let log = parent.log();
            assert!(log.contains("dauth-parent: this is root"), "{log}");
        }
        false => drop(parent.tells("READY")),
    }
}

#[test]
fn it_becomes_another_user_in_all_its_threads() {
    let is_root = status_of("self", "Uid:").starts_with('0');
    let mut parent = Parent::start("", "[process]\nuser = \"nobody\"");
    if !is_root {
        assert_eq!(parent.process.wait().unwrap().code(), Some(1));
        assert!(
            parent.log().contains("cannot become nobody"),
            "{}",
            parent.log()
        );
        return;
    }
    parent.tells("READY");
    let pid = parent.process.id();
    let expected = id("-u", "nobody");
    let group = id("-g", "nobody");
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap().file_name().into_string().unwrap();
        let thread = format!("{pid}/task/{thread}");
        assert_eq!(status_of(&thread, "Uid:"), [&*expected; 4].join("\t"));
        assert_eq!(status_of(&thread, "Gid:"), [&*group; 4].join("\t"));
        assert_eq!(status_of(&thread, "Groups:"), group);
        assert_eq!(status_of(&thread, "NoNewPrivs:"), "1");
        assert_eq!(status_of(&thread, "CapEff:").trim_start_matches('0'), "");
        threads += 1;
    }
    assert!(threads > 1, "{threads}");
    // It serves what it bound as root.
    assert_eq!(parent.connect("127.0.0.1:443"), "403");
}

#[test]
fn a_notify_socket_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), "", AS_ROOT);
    let failed = Command::new(env!("CARGO_BIN_EXE_dauth-parent"))
        .arg("--config")
        .arg(folder.path().join("parent.toml"))
        .env("NOTIFY_SOCKET", folder.path().join("nowhere"))
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("NOTIFY_SOCKET"), "{said}");
}

/// A field of `/proc/PROCESS/status`.
fn status_of(process: &str, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim().to_owned()
}

fn id(option: &str, user: &str) -> String {
    let output = Command::new("id").args([option, user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
