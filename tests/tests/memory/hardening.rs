//! The running enclave's process, as the kernel sees it.
use std::{
    fs::{self, File},
    io::ErrorKind,
    time::Duration,
};

use dauth_tests::{Stack, wait_until};

use crate::sight::{Sight, may_trace};

/// How soon what is mapped anew is marked (`enclave/src/hardening/dumps.rs`), and some time.
const MARKED_AFTER: Duration = Duration::from_secs(7);

#[test]
fn a_dump_of_the_enclave_would_be_empty_and_nobody_may_attach() {
    let name = "hardening::a_dump_of_the_enclave_would_be_empty_and_nobody_may_attach";
    if !may_trace() {
        assert_hidden_from_its_own_user();
    }
    if Sight::of_this_test(name) == Sight::None {
        return;
    }
    let stack = Stack::start();
    wait_until("the flow holds", || {
        stack.output().contains("Every step held.")
    });
    let of_enclave = |file: &str| {
        let path = format!("/proc/{}/{file}", stack.file().enclave.pid);
        fs::read_to_string(path).unwrap()
    };
    let limits = of_enclave("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{core:?}");
    assert_eq!(of_enclave("coredump_filter").trim(), "00000000");
    // What is mapped later is marked some time later, so time is what passes here.
    std::thread::sleep(MARKED_AFTER);
    let smaps = of_enclave("smaps");
    let (marked, unmarked) = data_mappings(&smaps);
    assert!(marked > 10, "{marked} mappings");
    assert_eq!(unmarked, Vec::<&str>::new());
    // The positive control: the parent's are not marked.
    let path = format!("/proc/{}/smaps", stack.file().parent.pid);
    let smaps = fs::read_to_string(path).unwrap();
    let (marked, unmarked) = data_mappings(&smaps);
    assert!(marked == 0 && !unmarked.is_empty(), "{marked} mappings");
}

/// How many private mappings that are or may become writable are left out of dumps, and those that
/// are not.
fn data_mappings(smaps: &str) -> (usize, Vec<&str>) {
    let (mut marked, mut unmarked) = (0, Vec::new());
    let mut mapping = None;
    for line in smaps.lines() {
        let mut fields = line.split_whitespace();
        match (fields.next(), fields.next()) {
            (Some("VmFlags:"), first) => {
                let Some(line) = mapping.take() else {
                    continue;
                };
                if first.into_iter().chain(fields).any(|flag| flag == "dd") {
                    marked += 1;
                } else {
                    unmarked.push(line);
                }
            }
            (Some(range), Some(permissions)) if range.contains('-') && permissions.len() == 4 => {
                let is_data = permissions.contains('w') || permissions.starts_with("---");
                mapping = (is_data && permissions.ends_with('p')).then_some(line);
            }
            _ => {}
        }
    }
    (marked, unmarked)
}

/// Whoever started the enclave may look into the parent, and not into the enclave.
fn assert_hidden_from_its_own_user() {
    let stack = Stack::start();
    let file = stack.file();
    let open = |pid: u32| File::open(format!("/proc/{pid}/mem"));
    assert!(open(file.parent.pid).is_ok(), "nothing can be looked into");
    let refused = open(file.enclave.pid).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
}
