//! `cargo xtask vm-test`: enclaves that are booted.
//!
//! The tools (QEMU with the nitro-enclave machine, a kernel, a vsock device) are found in a cache
//! outside of the repository, or made there; nothing of them is ever committed. Then the programs of
//! the images are built, and `tests/tests/vm` boots them.
mod cache;
mod guest;
mod packages;
mod tools;

use std::{env, fs, path::PathBuf, process::Command};

use crate::command::{Failure, within};

/// What is done about tools that are not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// They are made; a failure of that is one of the task.
    Make,
    /// They are made; without them, nothing is tested and the last line says so.
    MakeOrSkip,
    /// Nothing is tested, and the last line says so.
    Skip,
}

/// For all boots, on a busy machine.
const TESTS_LIMIT_S: u32 = 30 * 60;

/// Boots the images, or says in its last line that it did not.
pub(crate) fn run(missing: Missing) -> Result<(), Failure> {
    let tools = match (tools::provide(missing), missing) {
        (Ok(tools), _) => tools,
        (Err(failure), Missing::Make) => return Err(failure),
        (Err(failure), Missing::MakeOrSkip | Missing::Skip) => {
            println!("SKIPPED: no enclave was booted: {failure}");
            return Ok(());
        }
    };
    let folder = target_folder()?.join("vm-test");
    let guest = guest::build(&folder)?;
    let file = folder.join("tools.toml");
    let text = [tools.lines(), guest.lines()].concat();
    fs::write(&file, text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    // The parties on this host.
    crate::command::cargo(&["build", "--workspace", "--bins", "--locked"])?;
    within(
        TESTS_LIMIT_S,
        Command::new(env!("CARGO"))
            .args([
                "test",
                "--package",
                "dauth-tests",
                "--test",
                "vm",
                "--locked",
            ])
            // One machine at a time: each takes all the processors there are.
            .args(["--", "--test-threads=1"])
            .env("DAUTH_VM_TOOLS", &file),
    )
}

/// Where Cargo put this program's profile folder.
fn target_folder() -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|e| Failure::new(format!("this program: {e}")))?;
    this.ancestors()
        .nth(2)
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new("this program lies in no target folder"))
}
