//! A parent that supervises enclaves, beside a stack that has all other parties.
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use dauth_tests::{Stack, Upstream, binary, wait_until};
use http::Response;
use http_body_util::Full;
use serde_json::Value;

const SECRET: &str = "supervision-secret-0123456789";

/// A parent, its enclaves, and a gateway that dispatches through them. They end with the test.
pub(crate) struct Supervised {
    dir: PathBuf,
    monitor: String,
    gateway: String,
    parent: Child,
    gateway_process: Child,
}

impl Supervised {
    /// With so many enclaves of the stack's image, over the stack's keyset.
    pub(crate) fn start(stack: &Stack, enclaves: usize) -> Self {
        Self::start_with(stack, enclaves, |_| {})
    }

    pub(crate) fn start_with(
        stack: &Stack,
        enclaves: usize,
        change: impl FnOnce(&mut toml::Table),
    ) -> Self {
        let dir = stack.dir().join("supervised");
        fs::create_dir_all(dir.join("nitro")).unwrap();
        let [ingress, monitor, gateway] = free_addresses();
        fs::copy(stack.dir().join("enclave/config.toml"), dir.join("one.eif")).unwrap();
        let mut parent = table(&stack.dir().join("parent/config.toml"));
        section(&mut parent, "ingress").remove("enclave");
        section(&mut parent, "ingress").insert("listen".into(), ingress.clone().into());
        section(&mut parent, "host").remove("listen");
        section(&mut parent, "monitor").insert("listen".into(), monitor.clone().into());
        let mut transport = toml::Table::new();
        transport.insert("unix".into(), text(&dir.join("nitro")));
        let mut supervisor = toml::Table::new();
        supervisor.insert("nitro_cli".into(), text(&binary("nitro-cli-stand-in")));
        supervisor.insert("transport".into(), transport.into());
        parent.insert("supervisor".into(), supervisor.into());
        let all = (0..enclaves).map(|number| enclave(number, &dir.join("one.eif")));
        parent.insert("enclaves".into(), all.collect::<Vec<_>>().into());
        change(&mut parent);
        fs::write(dir.join("parent.toml"), parent.to_string()).unwrap();

        let mut of_gateway = table(&stack.dir().join("gateway/config.toml"));
        of_gateway.insert("listen".into(), gateway.clone().into());
        let enclave = section(&mut of_gateway, "enclave");
        enclave.insert("ingress".into(), ingress.clone().into());
        enclave.insert(
            "seen_keyset_file".into(),
            text(&dir.join("seen-keyset.json")),
        );
        fs::write(dir.join("gateway.toml"), of_gateway.to_string()).unwrap();

        let mut profile = table(&stack.file().profile);
        profile.insert("ingress".into(), ingress.into());
        fs::write(dir.join("profile.toml"), profile.to_string()).unwrap();

        let parent = spawn_parent(&dir);
        let arguments = ["party", "gateway", "--config", "supervised/gateway.toml"];
        let gateway_process = spawn(&dir, "gateway", binary("dauth"), &arguments);
        let supervised = Self {
            dir,
            monitor,
            gateway,
            parent,
            gateway_process,
        };
        supervised.wait_until_ready(enclaves);
        supervised
    }

    /// Waits until so many enclaves take connections.
    pub(crate) fn wait_until_ready(&self, enclaves: usize) {
        wait_until(&format!("{enclaves} enclaves serve"), || {
            self.metric("dauth_parent_enclave_ready").unwrap_or(0) == enclaves as u64
        });
    }

    /// The sum of a metric of the parent over its labels; none while the parent does not answer.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let text = get(&self.monitor, "/metrics")?;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let matches = series.split('{').next() == Some(name);
            matches.then(|| value.parse::<u64>().unwrap())
        });
        Some(values.sum())
    }

    /// What the stand-in says that runs.
    pub(crate) fn described(&self) -> Vec<Value> {
        let output = self.nitro_cli(&["describe-enclaves"]);
        serde_json::from_slice(&output).unwrap()
    }

    pub(crate) fn enclave_pids(&self) -> Vec<u32> {
        let described = self.described();
        let pids = described.iter().map(|e| e["ProcessID"].as_u64().unwrap());
        let mut pids: Vec<u32> = pids.map(|pid| u32::try_from(pid).unwrap()).collect();
        pids.sort_unstable();
        pids
    }

    pub(crate) fn nitro_cli(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(binary("nitro-cli-stand-in"))
            .args(arguments)
            .env("NITRO_CLI_STAND_IN", self.dir.join("nitro"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output.stdout
    }

    /// A profile whose ingress is this parent's.
    pub(crate) fn profile(&self) -> PathBuf {
        self.dir.join("profile.toml")
    }

    /// Where the gateway listens that goes through this parent.
    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Kills the parent, with no time to say anything.
    pub(crate) fn kill_parent(&mut self) {
        self.parent.kill().unwrap();
        self.parent.wait().unwrap();
    }

    pub(crate) fn start_parent(&mut self) {
        self.parent = spawn_parent(&self.dir);
    }

    /// Writes an image beside the first, with changes.
    pub(crate) fn image(&self, name: &str, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
        let mut image = table(&self.dir.join("one.eif"));
        change(&mut image);
        let file = self.dir.join(name);
        fs::write(&file, image.to_string()).unwrap();
        file
    }

    /// Changes the configuration and tells the parent to read it again.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut toml::Table)) {
        let mut parent = table(&self.dir.join("parent.toml"));
        change(&mut parent);
        fs::write(self.dir.join("parent.toml"), parent.to_string()).unwrap();
        kill("-HUP", self.parent.id());
    }

    /// Every enclave of the configuration gets another image.
    pub(crate) fn upgrade_to(&self, image: &Path) {
        self.reload(|parent| {
            for enclave in parent["enclaves"].as_array_mut().unwrap() {
                enclave["eif"] = text(image);
            }
        });
    }

    pub(crate) fn parent_pid(&self) -> u32 {
        self.parent.id()
    }

    pub(crate) fn parent_log(&self) -> String {
        fs::read_to_string(self.dir.join("parent.log")).unwrap_or_default()
    }

    pub(crate) fn logs(&self) -> String {
        let folder = fs::read_dir(self.dir.join("nitro")).unwrap();
        let files = folder.map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|kind| kind == "log"));
        let logs: String = logs
            .map(|log| {
                format!(
                    "== {}\n{}",
                    log.display(),
                    fs::read_to_string(&log).unwrap()
                )
            })
            .collect();
        format!("{}{logs}", self.parent_log())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        for child in [&mut self.parent, &mut self.gateway_process] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for pid in self.enclave_pids() {
            kill("-KILL", pid);
        }
    }
}

/// An upstream that answers, and a connection to it.
pub(crate) async fn connection(stack: &Stack) -> (Upstream, String) {
    let upstream = Upstream::start(&stack.file(), &[], |_| async {
        Response::new(Full::new(Bytes::from_static(b"served")))
    })
    .await;
    // Of the owner, and of the demo MCP server, as which the gateway dispatches.
    let file = stack.file();
    let resource = file.clients.mcp.resource.as_str();
    let options = ["--bearer", "--allow", "GET /**", "--server", resource];
    let handle = stack.connect("supervision", &upstream.base_url(), SECRET, &options);
    (upstream, handle)
}

/// Waits until `dauth simulate` has gone through its flow.
pub(crate) fn wait_until_idle(stack: &Stack) {
    wait_until("the flow ends", || {
        stack.output().contains("To connect a credential")
    });
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill {signal} {pid}");
}

pub(crate) fn section<'a>(table: &'a mut toml::Table, name: &str) -> &'a mut toml::Table {
    table[name].as_table_mut().unwrap()
}

pub(crate) fn text(path: &Path) -> toml::Value {
    path.to_str().unwrap().into()
}

fn enclave(number: usize, image: &Path) -> toml::Value {
    let mut enclave = toml::Table::new();
    enclave.insert("name".into(), format!("e{number}").into());
    enclave.insert("eif".into(), text(image));
    enclave.insert("cpus".into(), 2.into());
    enclave.insert("memory_mib".into(), 256.into());
    enclave.into()
}

fn table(file: &Path) -> toml::Table {
    fs::read_to_string(file).unwrap().parse().unwrap()
}

fn spawn_parent(dir: &Path) -> Child {
    let arguments = ["--config", "supervised/parent.toml"];
    spawn(dir, "parent", binary("dauth-parent"), &arguments)
}

fn spawn(dir: &Path, name: &str, program: PathBuf, arguments: &[&str]) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(format!("{name}.log")))
        .unwrap();
    Command::new(program)
        .args(arguments)
        .current_dir(dir.parent().unwrap())
        .env("NITRO_CLI_STAND_IN", dir.join("nitro"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn free_addresses() -> [String; 3] {
    // All held before any is released, so that they differ.
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// The body at an address of a monitor; none unless it answers with success.
fn get(monitor: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(monitor).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}
