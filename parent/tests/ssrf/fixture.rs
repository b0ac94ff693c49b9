//! A parent as a process, and the operator's network that it must not open.
use std::{
    fs,
    io::{self, Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Network {
    folder: TempDir,
    parent: Child,
    /// On 127.0.0.1 and on ::1, at one port.
    listeners: [TcpListener; 2],
    port: u16,
}

impl Network {
    /// Behind a parent whose operator permits nothing.
    pub(crate) fn new() -> Self {
        Self::permitting("[]")
    }

    pub(crate) fn permitting(networks: &str) -> Self {
        let (listeners, port) = listeners();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("credential"), "host-credential").unwrap();
        fs::write(folder.path().join("hosts"), super::HOSTS).unwrap();
        let path = folder.path().display();
        let configuration = format!(
            r#"
            [ingress]
            listen = "127.0.0.1:0"
            enclave = {{ unix = "{path}/enclave.sock" }}
            [host]
            listen = {{ unix = "{path}/host.sock" }}
            configuration_file = "{path}/deployment"
            keyset_file = "{path}/keyset"
            [records]
            control_plane = "http://127.0.0.1:9"
            credential_file = "{path}/credential"
            [egress]
            permit = {networks}
            hosts_file = "{path}/hosts"
            [process]
            as_root = "permitted"
            "#
        );
        let file = folder.path().join("parent.toml");
        fs::write(&file, configuration).unwrap();
        let parent = Command::new(env!("CARGO_BIN_EXE_dauth-parent"))
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let network = Self {
            folder,
            parent,
            listeners,
            port,
        };
        drop(network.stream());
        network
    }

    /// Asserts that `CONNECT target` is refused with these words, and that nothing was reached.
    #[track_caller]
    pub(crate) fn assert_refused(&self, target: &str, words: &str) {
        let (status, body) = self.connect(target);
        match words {
            // What is no target at all may already be refused as no request.
            "" => assert!([400, 403].contains(&status), "{target:?}: {status} {body}"),
            _ => assert_eq!(status, 403, "{target:?}: {body}"),
        }
        assert!(body.contains(words), "{target:?}: {body}");
        self.assert_unreached();
    }

    pub(crate) fn connect(&self, target: &str) -> (u16, String) {
        self.ask(&format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        ))
    }

    /// Sends a request as it is, but for the port; status and body.
    pub(crate) fn ask(&self, request: &str) -> (u16, String) {
        let request = request.replace("PORT", &self.port.to_string());
        let mut stream = self.stream();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        let mut part = [0; 4096];
        // A tunnel stays open: its head is all of its answer.
        while !is_whole(&reply) {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "no answer: {}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&part[..read]);
        }
        let reply = String::from_utf8_lossy(&reply).into_owned();
        let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
        (status, reply)
    }

    #[track_caller]
    pub(crate) fn assert_unreached(&self) {
        for listener in &self.listeners {
            let reached = listener.accept();
            let nobody = matches!(&reached, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
            assert!(nobody, "{reached:?}");
        }
    }

    #[track_caller]
    pub(crate) fn assert_reached(&self, target: &str) {
        let reached = self.listeners.iter().any(|l| l.accept().is_ok());
        assert!(reached, "{target} reached nothing");
    }

    fn stream(&self) -> UnixStream {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match UnixStream::connect(self.folder.path().join("host.sock")) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "no parent: {error}"),
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

/// Whether there is a head, and as much body as it says.
fn is_whole(reply: &[u8]) -> bool {
    let text = String::from_utf8_lossy(reply);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    body.len() >= length
}

/// At one port that is free on both.
fn listeners() -> ([TcpListener; 2], u16) {
    loop {
        let ipv4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = ipv4.local_addr().unwrap().port();
        if let Ok(ipv6) = TcpListener::bind(("::1", port)) {
            ipv4.set_nonblocking(true).unwrap();
            ipv6.set_nonblocking(true).unwrap();
            return ([ipv4, ipv6], port);
        }
    }
}
