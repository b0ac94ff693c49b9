//! Whether this process may look into the enclave's memory.
//!
//! The enclave is not dumpable, so that takes CAP_SYS_PTRACE in the user namespace that it was
//! started in (ptrace(2), ptrace access mode checking). Who lacks it runs the test again in a
//! namespace of its own, as the root of that.
use std::{env, fs, process::Command};

/// Set for a test that was started again.
const MARK: &str = "DAUTH_TEST_OWN_NAMESPACE";
/// The number of CAP_SYS_PTRACE (linux/capability.h).
const CAP_SYS_PTRACE: u32 = 19;

/// What this process may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Every process that it starts.
    Whole,
    /// Nothing, and nothing is left to do: the test passed in a namespace of its own, or cannot
    /// be run and has said so.
    None,
}

impl Sight {
    /// What the test of this name may see.
    pub(crate) fn of_this_test(name: &str) -> Self {
        if may_trace() {
            return Sight::Whole;
        }
        assert!(
            env::var_os(MARK).is_none(),
            "a namespace's root lacks CAP_SYS_PTRACE"
        );
        let may_unshare = Command::new("unshare")
            .args(IN_NAMESPACE)
            .arg("true")
            .output();
        match may_unshare {
            Ok(output) if output.status.success() => run_again(name),
            Ok(output) => skip(name, &String::from_utf8_lossy(&output.stderr)),
            Err(error) => skip(name, &format!("unshare: {error}")),
        }
        Sight::None
    }
}

const IN_NAMESPACE: [&str; 2] = ["--user", "--map-root-user"];

/// Whether this process has CAP_SYS_PTRACE.
pub(crate) fn may_trace() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> CAP_SYS_PTRACE & 1 == 1)
}

fn run_again(name: &str) {
    println!("{name}: not privileged, so again in a user namespace");
    let status = Command::new("unshare")
        .args(IN_NAMESPACE)
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(MARK, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its namespace: {status}");
}

fn skip(name: &str, why: &str) {
    println!(
        "SKIPPED {name}: reading the enclave's memory takes CAP_SYS_PTRACE, which this process \
         lacks, and a user namespace, in which it would have it, cannot be made: {}",
        why.trim()
    );
}
