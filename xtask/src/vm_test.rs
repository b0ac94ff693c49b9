//! `cargo xtask vm-test`: enclaves that are booted.
//!
//! The tools (QEMU with the nitro-enclave machine, a kernel, a vsock device) are found in a cache
//! outside of the repository, or made there; nothing of them is ever committed. Then the programs of
//! the images are built, there too, and `tests/tests/vm` boots them.
mod cache;
mod guest;
mod packages;
mod tools;
mod workspace;

use std::fs;

use self::{cache::Cache, tools::Tools, workspace::Workspace};
use crate::command::{self, Failure, within};

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
    let (cache, tools, workspace) = match (prepared(missing), missing) {
        (Ok(found), _) => found,
        (Err(failure), Missing::Make) => return Err(failure),
        (Err(failure), Missing::MakeOrSkip | Missing::Skip) => {
            println!("SKIPPED: no enclave was booted: {failure}");
            return Ok(());
        }
    };
    let guest = guest::build(&workspace)?;
    let file = workspace.target().join("tools.toml");
    let text = [tools.lines(), guest.lines()].concat();
    fs::write(&file, text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    // The parties on this host.
    command::run(&mut workspace.cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    let test = [
        "test",
        "--package",
        "dauth-tests",
        "--test",
        "vm",
        "--locked",
    ];
    within(
        TESTS_LIMIT_S,
        workspace
            .cargo(&test)
            // One machine at a time: each takes all the processors there are.
            .args(["--", "--test-threads=1"])
            .env("DAUTH_VM_TOOLS", &file),
    )?;
    // Held until here: the programs of the machines lie in it.
    drop(cache);
    Ok(())
}

/// All but what is compiled.
fn prepared(missing: Missing) -> Result<(Cache, Tools, Workspace), Failure> {
    let cache = Cache::open()?;
    let tools = tools::provide(&cache, missing)?;
    let workspace = Workspace::copied(&cache)?;
    Ok((cache, tools, workspace))
}
