//! `dauth doctor` on a host that is no Nitro instance, as every test machine is.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

use std::{fs, path::Path, process::Command};

use dauth_tests::{Ran, Stack, binary};
use serde_json::Value;

fn doctor(arguments: &[&str]) -> (Ran, Value) {
    let mut command = Command::new(binary("dauth"));
    command.arg("doctor").arg("--json").args(arguments);
    let ran = Ran::from(command.output().unwrap());
    let report = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran, report)
}

fn states<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap();
    let of_name = checks.iter().filter(|check| check["name"] == name);
    of_name
        .map(|check| check["state"].as_str().unwrap())
        .collect()
}

#[test]
fn what_this_host_lacks_is_told_with_its_remedy() {
    if Path::new("/dev/nitro_enclaves").exists() {
        println!("SKIPPED: this host has enclaves, and lacks nothing that could be told");
        return;
    }
    let (ran, report) = doctor(&[]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("missing"), "{}", ran.stderr);
    assert_eq!(report["ready"], false);
    assert_eq!(states(&report, "nitro-device"), ["missing"]);
    assert_eq!(states(&report, "enclave-cpus"), ["missing"]);
    for check in report["checks"].as_array().unwrap() {
        let told = check["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty());
        let is_lack = ["missing", "advice"].contains(&check["state"].as_str().unwrap());
        assert_eq!(told, is_lack, "{check}");
    }
}

/// The parent of a simulation is configured as it should be, but for what it is to be on Nitro.
#[test]
fn the_configuration_of_a_parent_that_runs_is_found_well() {
    let stack = Stack::start();
    let config = stack.dir().join("parent/config.toml");
    let config = config.to_str().unwrap();
    let (_, report) = doctor(&["--config", config]);
    assert_eq!(states(&report, "configuration"), ["ok"]);
    assert_eq!(states(&report, "deployment"), ["ok"]);
    assert_eq!(states(&report, "kms"), ["ok"]);
    let files = states(&report, "file");
    assert!(
        files.len() >= 4 && files.iter().all(|state| *state == "ok"),
        "{report:#}"
    );

    // Whoever may read the credential may ask for every record.
    let credential = stack.dir().join("parent/records-credential");
    Command::new("chmod")
        .arg("0644")
        .arg(&credential)
        .status()
        .unwrap();
    let (ran, report) = doctor(&["--config", config]);
    assert_eq!(ran.code, 1);
    assert!(states(&report, "file").contains(&"missing"), "{report:#}");
}

#[test]
fn a_user_that_is_not_there_and_a_configuration_that_does_not_parse() {
    let (ran, _) = doctor(&["--user", "no-such-user"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no-such-user"), "{}", ran.stderr);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("parent.toml");
    fs::write(&config, "[ingress]\nlisten = 'nowhere'\n").unwrap();
    let (_, report) = doctor(&["--config", config.to_str().unwrap()]);
    assert_eq!(states(&report, "configuration"), ["missing"]);
    assert!(report.to_string().contains("parent.toml:2"), "{report:#}");
}
