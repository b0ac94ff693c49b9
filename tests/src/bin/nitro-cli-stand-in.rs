//! In the place of nitro-cli: its commands and its answers, with simulated enclaves as processes.
//!
//! An "image" is the configuration of `dauth-enclave-sim` in TOML, whatever it says of sockets; one
//! that `sleeps` is of somebody else, and does nothing. The folder in `NITRO_CLI_STAND_IN` holds what
//! runs (a JSON file of each, as `describe-enclaves` prints it), their logs, and their sockets:
//! `CID.ingress` and `CID.host`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::zombie_processes,
    reason = "a part of the tests: what goes wrong fails the test"
)]
use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let folder = PathBuf::from(env::var_os("NITRO_CLI_STAND_IN").expect("NITRO_CLI_STAND_IN"));
    let mut arguments = env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let arguments = Arguments::parse(arguments);
    let answer = match command.as_str() {
        "run-enclave" => run(&folder, &arguments),
        "describe-enclaves" => Ok(Value::from(running(&folder))),
        "terminate-enclave" => terminate(&folder, arguments.text("enclave-id")),
        "describe-eif" => Ok(json!({ "Measurements": measurements(&image(&arguments)) })),
        other => Err(format!("[ E00 ] unknown command {other}")),
    };
    match answer {
        Ok(answer) => {
            println!("{answer:#}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

/// `--name value`, and `--debug-mode` alone.
struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut named = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").expect("an option").to_owned();
            let value = match name.as_str() {
                "debug-mode" => String::new(),
                _ => arguments.next().expect("a value"),
            };
            named.insert(name, value);
        }
        Self(named)
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("--{name}"))
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }
}

fn image(arguments: &Arguments) -> toml::Table {
    let text = fs::read_to_string(arguments.text("eif-path")).unwrap();
    text.parse().unwrap()
}

fn measurements(image: &toml::Table) -> Value {
    let pcr = |name: &str| image[name].as_str().unwrap().to_owned();
    json!({ "HashAlgorithm": "Sha384 { ... }", "PCR0": pcr("pcr0"), "PCR1": pcr("pcr1"), "PCR2": pcr("pcr2") })
}

fn run(folder: &Path, arguments: &Arguments) -> Result<Value, String> {
    let cid = arguments.number("enclave-cid");
    if running(folder)
        .iter()
        .any(|other| other["EnclaveCID"] == cid)
    {
        return Err(format!("[ E26 ] the CID {cid} is in use"));
    }
    let mut image = image(arguments);
    let socket = |kind: &str| folder.join(format!("{cid}.{kind}")).display().to_string();
    image.insert("ingress_socket".to_owned(), socket("ingress").into());
    image.insert("host_socket".to_owned(), socket("host").into());
    let id = format!("i-0123456789abcdef0-enc{cid}");
    let configuration = folder.join(format!("{id}.toml"));
    fs::write(&configuration, image.to_string()).unwrap();
    let log = fs::File::create(folder.join(format!("{id}.log"))).unwrap();
    let mut program = match image.contains_key("sleeps") {
        true => {
            let mut sleep = Command::new("/usr/bin/sleep");
            sleep.arg("infinity");
            sleep
        }
        false => {
            let this = env::current_exe().unwrap();
            let mut enclave = Command::new(this.with_file_name("dauth-enclave-sim"));
            enclave.arg("--config").arg(configuration);
            enclave
        }
    };
    let child = program
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    let flags = match arguments.0.contains_key("debug-mode") {
        true => "DEBUG_MODE",
        false => "NONE",
    };
    let described = json!({
        "EnclaveName": arguments.text("enclave-name"),
        "EnclaveID": id,
        "ProcessID": child.id(),
        "EnclaveCID": cid,
        "NumberOfCPUs": arguments.number("cpu-count"),
        "CPUIDs": [1, 3],
        "MemoryMiB": arguments.number("memory"),
        "State": "RUNNING",
        "Flags": flags,
        "Measurements": measurements(&image),
    });
    // In one step: another process may be reading what runs.
    let file = folder.join(format!("{id}.json"));
    let written = folder.join(format!("{id}.new"));
    fs::write(&written, described.to_string()).unwrap();
    fs::rename(written, file).unwrap();
    Ok(described)
}

/// What runs; the files of what ended are removed.
fn running(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|kind| kind == "json"));
    let described = files.filter_map(|file| {
        // Another process may have removed it.
        let described: Value = serde_json::from_slice(&fs::read(&file).ok()?).unwrap();
        if lives(&described) {
            return Some(described);
        }
        let _ = fs::remove_file(&file);
        None
    });
    described.collect()
}

/// Whether its process runs, and is not one that waits to be reaped.
fn lives(described: &Value) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", described["ProcessID"]));
    stat.is_ok_and(|stat| {
        let (name, state) = stat.rsplit_once(')').unwrap();
        (name.contains("dauth-enclave") || name.contains("(sleep"))
            && !state.trim_start().starts_with('Z')
    })
}

fn terminate(folder: &Path, id: &str) -> Result<Value, String> {
    let found = running(folder).into_iter().find(|e| e["EnclaveID"] == id);
    let found = found.ok_or_else(|| format!("[ E05 ] there is no enclave {id}"))?;
    let pid = found["ProcessID"].to_string();
    let _ = Command::new("kill").args(["-KILL", &pid]).status();
    while lives(&found) {
        thread::sleep(Duration::from_millis(5));
    }
    running(folder);
    Ok(json!({ "EnclaveID": id, "Terminated": true }))
}
