//! Development tasks: `cargo xtask test`, `lint`, `vm-test`, `vectors`.
#![allow(clippy::print_stdout, reason = "a task tells what it does")]

mod command;
mod eif_build;
mod image;
mod lint;
mod mutations;
mod packages;
mod peers;
mod profile;
mod source;
mod vectors;
mod vm_test;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use profile::Profile;
use vm_test::Missing;

/// Development tasks of DAuth.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Install what is missing (Debian packages, when root), build everything, run every test.
    Test {
        /// Of release builds: what is shipped, but for the time that it takes to compile.
        #[arg(long)]
        release: bool,
    },
    /// Build the enclave whose faults the memory-scan test must find.
    Mutations {
        /// As a release is built.
        #[arg(long)]
        release: bool,
    },
    /// rustfmt, clippy and rustdoc with warnings denied, and cargo-deny where it is installed.
    Lint,
    /// Boot enclaves in virtual machines. Makes QEMU and what else it needs in a cache, the first
    /// time, and compiles there what is tested: 5 GB in `$XDG_CACHE_HOME/dauth/vm`, or `~/.cache`.
    VmTest {
        /// Make nothing: without tools in the cache, test nothing and say SKIPPED in the last line.
        #[arg(long)]
        cached_only: bool,
        /// When the tools cannot be made, test nothing and say SKIPPED in the last line.
        #[arg(long, conflicts_with = "cached_only")]
        may_skip: bool,
    },
    /// Write the test vectors of the attestation verifier, the same bytes each time.
    Vectors,
    /// Build the programs of the enclave's image: static, the same bytes each time.
    Image {
        /// Where to leave them.
        #[arg(long, default_value = "target/image")]
        output: PathBuf,
    },
    /// Build the image's programs twice, in different folders, and compare them.
    Reproduce,
    /// Build Dockerfile.enclave with buildah, and measure what comes out.
    OciTest,
}

fn main() -> ExitCode {
    // Cargo runs this binary in the compiler's place for one build of the memory-scan test.
    if let Some(compiler) = mutations::compiler_of_this_call() {
        return mutations::compile(&compiler);
    }
    let result = match Task::parse() {
        Task::Test { release } => test(Profile::of(release)),
        Task::Mutations { release } => mutations::build(Profile::of(release)),
        Task::Lint => lint::run(),
        Task::Vectors => vectors::write(),
        Task::Image { output } => image::Build::here().and_then(|build| build.leave_in(&output)),
        Task::Reproduce => image::reproduce(),
        Task::OciTest => image::test_oci(),
        Task::VmTest {
            cached_only,
            may_skip,
        } => vm_test::run(match (cached_only, may_skip) {
            (true, _) => Missing::Skip,
            (false, true) => Missing::MakeOrSkip,
            (false, false) => Missing::Make,
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn test(profile: Profile) -> Result<(), command::Failure> {
    packages::install_missing()?;
    eif_build::install()?;
    mutations::build(profile)?;
    let cargo = |arguments: &[&str]| command::cargo(&[arguments, profile.options()].concat());
    // The end-to-end tests run the shipped binaries.
    cargo(&["build", "--workspace", "--bins", "--locked"])?;
    cargo(&["test", "--workspace", "--locked"])?;
    // What only a feature brings in: nothing of the workspace enables it.
    cargo(&[
        "test",
        "--package",
        "dauth-attestation",
        "--features",
        "rust-crypto",
        "--locked",
        "rust_crypto",
    ])?;
    peers::test()
}
