//! A second parent and enclave beside those of a stack, over the same keyset file.
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use dauth_protocol::measurement::Pcr;
use serde_json::Value;

use crate::{Stack, binary, wait_until};

const FOLDER: &str = "second";

/// A parent and an enclave. They end with the test.
pub struct SecondEnclave {
    dir: PathBuf,
    ingress: String,
    monitor: String,
    pcr0: Pcr,
    pcr16: Pcr,
    parent: Child,
    enclave: Child,
}

impl SecondEnclave {
    /// Of the stack's image and configuration: a fleet of two.
    pub fn beside(stack: &Stack) -> Self {
        Self::start(stack, Files::Shared, None, |_| {})
    }

    /// Of another image, with a changed configuration. See [`SecondEnclave::wait_until_ready`].
    pub fn of_image(stack: &Stack, pcr0: Pcr, change: impl FnOnce(&mut Value)) -> Self {
        Self::start(stack, Files::Shared, Some(pcr0), change)
    }

    /// Of the stack's image, with a changed configuration and a keyset that it is to make.
    pub fn alone(stack: &Stack, change: impl FnOnce(&mut Value)) -> Self {
        Self::start(stack, Files::Own, None, change)
    }

    fn start(
        stack: &Stack,
        files: Files,
        pcr0: Option<Pcr>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let dir = stack.dir();
        fs::create_dir_all(dir.join(FOLDER)).unwrap();
        let deployment = dir.join("parent/deployment.json");
        let bytes = fs::read(&deployment).unwrap();
        let mut configuration: Value = serde_json::from_slice(&bytes).unwrap();
        let before = configuration.clone();
        change(&mut configuration);
        // As it stands, byte for byte, unless something is to be different.
        let bytes = match configuration == before {
            true => bytes,
            false => serde_json::to_vec_pretty(&configuration).unwrap(),
        };
        let deployment = dir.join(FOLDER).join("deployment.json");
        fs::write(&deployment, &bytes).unwrap();

        let [ingress, monitor] = free_addresses();
        edit(dir, "parent", |parent| {
            parent["ingress"]["listen"] = ingress.clone().into();
            parent["ingress"]["enclave"]["unix"] = format!("{FOLDER}/enclave.sock").into();
            parent["host"]["listen"]["unix"] = format!("{FOLDER}/host.sock").into();
            parent["host"]["configuration_file"] = deployment.to_str().unwrap().into();
            parent["monitor"]["listen"] = monitor.clone().into();
            if files == Files::Own {
                let keyset = dir.join(FOLDER).join("keyset.cbor");
                fs::write(with_order(&keyset), r#"{"keyset":"create"}"#).unwrap();
                parent["host"]["keyset_file"] = keyset.to_str().unwrap().into();
            }
        });
        let enclave = edit(dir, "enclave", |enclave| {
            enclave["ingress_socket"] = format!("{FOLDER}/enclave.sock").into();
            enclave["host_socket"] = format!("{FOLDER}/host.sock").into();
            if let Some(pcr0) = pcr0 {
                enclave["pcr0"] = pcr0.to_string().into();
            }
        });
        let pcr0 = enclave["pcr0"].as_str().unwrap().parse().unwrap();
        let parent = spawn(dir, "parent", "dauth-parent");
        wait_until("the second parent serves", || answers(&monitor, "/healthz"));
        Self {
            enclave: spawn(dir, "enclave", "dauth-enclave-sim"),
            dir: dir.to_owned(),
            ingress,
            monitor,
            pcr0,
            pcr16: Pcr::of_configuration(&bytes),
            parent,
        }
    }

    /// Where clients connect.
    pub fn ingress(&self) -> &str {
        &self.ingress
    }

    /// The measurements that clients and KMS see: PCR0 and PCR16.
    pub fn measurements(&self) -> (Pcr, Pcr) {
        (self.pcr0, self.pcr16)
    }

    /// Waits until the enclave serves.
    pub fn wait_until_ready(&mut self) {
        wait_until("the second enclave serves", || {
            let ended = self.enclave.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.said());
            answers(&self.monitor, "/readyz")
        });
    }

    /// Waits until the enclave has refused to serve, and returns what it said.
    pub fn wait_until_ended(&mut self) -> String {
        wait_until("the second enclave ends", || {
            self.enclave.try_wait().unwrap().is_some()
        });
        self.said()
    }

    /// Kills the enclave and starts it again.
    pub fn restart_enclave(&mut self) {
        end(&mut self.enclave);
        let _ = fs::remove_file(self.dir.join(FOLDER).join("enclave.sock"));
        self.enclave = spawn(&self.dir, "enclave", "dauth-enclave-sim");
    }

    /// Kills the enclave and starts it again, with host services at another socket of its folder.
    pub fn restart_enclave_with_host(&mut self, socket: &str) {
        let file = self.dir.join(FOLDER).join("enclave.toml");
        let mut enclave: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        enclave["host_socket"] = format!("{FOLDER}/{socket}").into();
        fs::write(file, enclave.to_string()).unwrap();
        self.restart_enclave();
    }

    /// Whether the enclave has not ended.
    pub fn runs(&mut self) -> bool {
        self.enclave.try_wait().unwrap().is_none()
    }

    /// Waits until the enclave has ended, and returns how, and what it said.
    pub fn wait_until_stopped(&mut self) -> (ExitStatus, String) {
        let said = self.wait_until_ended();
        (self.enclave.wait().unwrap(), said)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.join(FOLDER).join("enclave.log")).unwrap_or_default()
    }
}

impl Drop for SecondEnclave {
    fn drop(&mut self) {
        end(&mut self.enclave);
        end(&mut self.parent);
    }
}

/// Whose keyset file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    Shared,
    Own,
}

fn with_order(keyset: &Path) -> PathBuf {
    keyset.with_extension("cbor.order")
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A party's configuration of the stack, with changes, as the second's.
fn edit(dir: &Path, party: &str, change: impl FnOnce(&mut toml::Table)) -> toml::Table {
    let text = fs::read_to_string(dir.join(party).join("config.toml")).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    change(&mut table);
    let file = dir.join(FOLDER).join(format!("{party}.toml"));
    fs::write(file, table.to_string()).unwrap();
    table
}

fn spawn(dir: &Path, party: &str, program: &str) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(FOLDER).join(format!("{party}.log")))
        .unwrap();
    Command::new(binary(program))
        .arg("--config")
        .arg(PathBuf::from(FOLDER).join(format!("{party}.toml")))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn free_addresses() -> [String; 2] {
    // Both held before either is released, so that they differ.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// Whether an address of a monitor answers with success.
fn answers(monitor: &str, path: &str) -> bool {
    use std::io::{Read, Write};
    let mut reply = String::new();
    let asked = std::net::TcpStream::connect(monitor).and_then(|mut stream| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut reply)
    });
    asked.is_ok() && reply.starts_with("HTTP/1.1 200")
}
