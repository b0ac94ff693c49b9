//! The enclaves that the parent is to start: whether each can be, and all of them together.
use std::{fs, path::Path};

use dauth_parent::{Configuration, configuration::Enclave};

use super::super::{cpus, finding::Finding, host::Host, memory};

const NAME: &str = "enclave";
const NITRO_CLI: &str = "nitro-cli-path";

pub(super) fn examine(host: &Host, configuration: &Configuration) -> Vec<Finding> {
    let enclaves = &configuration.enclaves;
    if enclaves.is_empty() {
        return Vec::new();
    }
    let supervisor = configuration.supervisor.clone().unwrap_or_default();
    let mut findings = vec![nitro_cli(&supervisor.nitro_cli)];
    findings.extend(enclaves.iter().map(enclave));
    findings.push(together(host, enclaves));
    findings
}

fn nitro_cli(program: &Path) -> Finding {
    let shown = program.display();
    if program.is_file() {
        Finding::ok(NITRO_CLI, format!("{shown} is there"))
    } else {
        Finding::missing(
            NITRO_CLI,
            format!("there is no {shown}"),
            "install nitro-cli, or name it: [supervisor] nitro_cli",
        )
    }
}

/// `nitro-cli` starts none with less than four times its image.
fn enclave(enclave: &Enclave) -> Finding {
    let (name, memory_mib) = (&enclave.name, enclave.memory_mib);
    let Ok(image) = fs::metadata(&enclave.eif) else {
        return Finding::not_checked(NAME, format!("{name}: its image is not there"));
    };
    let needed_mib = memory::needed_mib(image.len());
    if memory_mib >= needed_mib {
        Finding::ok(
            NAME,
            format!("{name} has {memory_mib} MiB, of which its image needs {needed_mib}"),
        )
    } else {
        Finding::missing(
            NAME,
            format!("{name} has {memory_mib} MiB, and its image needs {needed_mib}"),
            format!("memory_mib = {needed_mib} or more for this enclave"),
        )
    }
}

/// What is set aside must do for all of them. For an upgrade there is one more for a while.
fn together(host: &Host, enclaves: &[Enclave]) -> Finding {
    let sum = |of: fn(&Enclave) -> u64| enclaves.iter().map(of).fold(0, u64::saturating_add);
    let (cpus, memory_mib) = (sum(|e| u64::from(e.cpus)), sum(|e| e.memory_mib));
    let (pool, allocated_mib) = (cpus::set_aside(host) as u64, memory::allocated_mib(host));
    let found = format!(
        "{cpus} of {pool} CPUs and {memory_mib} of {allocated_mib} MiB are for enclaves that are \
         configured"
    );
    if cpus > pool || memory_mib > allocated_mib {
        return Finding::missing(
            NAME,
            found,
            "raise cpu_count and memory_mib in /etc/nitro_enclaves/allocator.yaml, and: systemctl \
             restart nitro-enclaves-allocator",
        );
    }
    let largest = |of: fn(&Enclave) -> u64| enclaves.iter().map(of).max().unwrap_or(0);
    let is_room = cpus + largest(|e| u64::from(e.cpus)) <= pool
        && memory_mib.saturating_add(largest(|e| e.memory_mib)) <= allocated_mib;
    if is_room {
        Finding::ok(NAME, found)
    } else {
        Finding::advice(
            NAME,
            found,
            "an upgrade without a pause needs room for one enclave more: \
             /etc/nitro_enclaves/allocator.yaml",
        )
    }
}
