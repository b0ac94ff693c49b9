//! The programs of the enclave's image: static, and the same bytes from the same source.
//!
//! This is the one list of what makes them reproducible; `Dockerfile.enclave` runs this task. What
//! it cannot fix is the compiler: `Dockerfile.enclave` names that by the digest of its base image.
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{Failure, output_of, run};

mod oci;
mod reproduce;

pub(crate) use oci::test as test_oci;
pub(crate) use reproduce::reproduce;

const TARGET: &str = "x86_64-unknown-linux-musl";
/// Each is built by itself: built together, the features of one could change the other.
const PROGRAMS: [&str; 2] = ["dauth-enclave", "dauth-init"];
/// The measured part of an image is to stay small.
const MAX_ENCLAVE_BYTES: u64 = 12 * 1024 * 1024;
/// Variables that would change what is built.
const CLEARED: [&str; 9] = [
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "TARGET_CFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
];

/// Where the source lies, and where it is built.
pub(crate) struct Build {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

impl Build {
    /// Of this workspace, beside its other builds.
    pub(crate) fn here() -> Result<Self, Failure> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| Failure::new("the workspace has no folder"))?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or(source.join("target"), PathBuf::from);
        Ok(Self {
            source: source.to_owned(),
            target: target.join("image-build"),
        })
    }

    /// Builds the programs and leaves them in `output`.
    pub(crate) fn leave_in(&self, output: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(format!("{}: {error}", output.display()));
        add_target()?;
        fs::create_dir_all(output).map_err(failed)?;
        for program in PROGRAMS {
            run(&mut self.cargo(program, &[program])?)?;
            let built = self.target.join(TARGET).join("release").join(program);
            fs::copy(built, output.join(program)).map_err(failed)?;
        }
        let size = fs::metadata(output.join(PROGRAMS[0]))
            .map_err(failed)?
            .len();
        println!("xtask: {} has {size} bytes", PROGRAMS[0]);
        if size > MAX_ENCLAVE_BYTES {
            return Err(Failure::new(format!(
                "{} is larger than {MAX_ENCLAVE_BYTES} bytes",
                PROGRAMS[0]
            )));
        }
        run(Command::new("sha256sum").args(PROGRAMS).current_dir(output))
    }

    /// Builds programs that no release has, for the images of tests, and leaves them in `output`.
    /// They share what was compiled for the image's programs.
    pub(crate) fn leave_for_tests(
        &self,
        package: &str,
        programs: &[&str],
        output: &Path,
    ) -> Result<(), Failure> {
        run(&mut self.cargo(package, programs)?)?;
        for program in programs {
            let built = self.target.join(TARGET).join("release").join(program);
            fs::copy(&built, output.join(program))
                .map_err(|error| Failure::new(format!("{}: {error}", built.display())))?;
        }
        Ok(())
    }

    fn cargo(&self, package: &str, programs: &[&str]) -> Result<Command, Failure> {
        let mut cargo = Command::new(env!("CARGO"));
        for variable in CLEARED {
            cargo.env_remove(variable);
        }
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_PROFILE_") || name.starts_with("AWS_LC_SYS_") {
                cargo.env_remove(&variable);
            }
        }
        cargo
            .current_dir(&self.source)
            .args(["build", "--release", "--locked", "--package", package])
            .args(programs.iter().flat_map(|program| ["--bin", program]))
            .args(["--target", TARGET])
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags()?.join("\u{1f}"))
            .env("CC_x86_64_unknown_linux_musl", "musl-gcc")
            .env(
                "CFLAGS_x86_64_unknown_linux_musl",
                self.c_flags()?.join(" "),
            )
            // What C puts in the place of __DATE__ and __TIME__.
            .env("SOURCE_DATE_EPOCH", "0")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        Ok(cargo)
    }

    /// The folders that compilers see, and what they are called in the program. The last that
    /// matches is taken, so the ones inside others come last.
    fn folders(&self) -> Result<Vec<(PathBuf, &'static str)>, Failure> {
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
            .ok_or_else(|| Failure::new("neither CARGO_HOME nor HOME is set"))?;
        let mut folders = vec![
            (self.source.clone(), "/dauth"),
            // `cargo vendor`
            (self.source.join("vendor"), "/crates"),
            (self.target.clone(), "/target"),
        ];
        // A registry's folder is named by a hash of its address.
        let registries = fs::read_dir(home.join("registry").join("src"));
        for registry in registries.into_iter().flatten().flatten() {
            folders.push((registry.path(), "/crates"));
        }
        Ok(folders)
    }

    fn rust_flags(&self) -> Result<Vec<String>, Failure> {
        let remap =
            |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
        let mut flags: Vec<_> = self.folders()?.into_iter().map(remap).collect();
        let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
        // With the component rust-src, paths of the standard library are those of the machine.
        flags.push(format!(
            "--remap-path-prefix={sysroot}/lib/rustlib/src/rust=/rust"
        ));
        flags.push("-Clink-arg=-Wl,--build-id=none".to_owned());
        Ok(flags)
    }

    fn c_flags(&self) -> Result<Vec<String>, Failure> {
        let remap =
            |(from, to): (PathBuf, &str)| format!("-ffile-prefix-map={}={to}", from.display());
        Ok(self.folders()?.into_iter().map(remap).collect())
    }
}

/// Adds the compiler's target, where it is missing.
pub(crate) fn add_target() -> Result<(), Failure> {
    let folder =
        output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(&folder).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
}
