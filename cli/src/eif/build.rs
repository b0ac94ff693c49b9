//! `dauth eif build`: an image of a kernel, an init, and the enclave's program.
use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use dauth_image::{
    Architecture, Image, Metadata,
    ramdisk::{Application, Boot, Module},
};

use super::{MAX_EIF_BYTES, measure};
use crate::{
    failure::{Failure, sentence},
    output::Output,
};

/// AWS's, of the kernels that nitro-cli ships.
const CMDLINE: &str =
    "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0";
/// Files in a ramdisk are measured with their times: one time for everybody.
const MODIFIED_S: u32 = 0;

/// Build an image, the same bytes each time, and print its PCRs.
///
/// Two ramdisks: the first boots (init and kernel modules), the second is the application (the
/// program, its arguments, an empty environment). Nothing is compressed. No time of this machine
/// goes into it; --epoch is written to the metadata, which no PCR covers.
#[derive(Args)]
pub(crate) struct Build {
    /// The enclave's program, statically linked.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// The kernel (bzImage, or Image on aarch64).
    #[arg(long, value_name = "PATH")]
    kernel: PathBuf,
    /// The first program, statically linked: dauth-init.
    #[arg(long, value_name = "PATH")]
    init: PathBuf,
    /// The kernel's command line.
    #[arg(long, value_name = "STR", default_value = CMDLINE)]
    cmdline: String,
    /// A kernel module that init loads, not compressed; may be repeated, in the order to load.
    #[arg(long = "module", value_name = "PATH")]
    modules: Vec<PathBuf>,
    /// An argument of the program, measured with it; may be repeated.
    #[arg(long = "argument", value_name = "ARG", allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// The CID that the first heartbeat goes to, where it is not 3.
    #[arg(long, value_name = "CID")]
    heartbeat_cid: Option<u32>,
    /// The build time of the metadata, in Unix seconds. Without it, $SOURCE_DATE_EPOCH, or 0.
    #[arg(long, value_name = "S")]
    epoch: Option<u64>,
    /// The image's name in the metadata.
    #[arg(long, value_name = "NAME", default_value = "dauth-enclave")]
    name: String,
    /// The image's version in the metadata.
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    image_version: String,
    /// What the kernel runs on.
    #[arg(long, value_name = "ARCH", value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Where to write the image.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    Aarch64,
}

impl From<Arch> for Architecture {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Architecture::X86_64,
            Arch::Aarch64 => Architecture::Aarch64,
        }
    }
}

impl Build {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let eif = self.image()?;
        let measured = measure::of(&self.output, &eif)?;
        write(&self.output, &eif)?;
        measure::print(&measured, Output::from_flag(self.json));
        Ok(())
    }

    fn image(&self) -> Result<Vec<u8>, Failure> {
        let refused = |error: &dyn std::error::Error| Failure::refused(sentence(error));
        let kernel = super::read(&self.kernel, MAX_EIF_BYTES)?;
        let ramdisks = [self.boot()?, self.application()?];
        let image = Image {
            architecture: self.arch.into(),
            kernel: &kernel,
            cmdline: &self.cmdline,
            ramdisks: &ramdisks,
            metadata: Metadata {
                name: &self.name,
                version: &self.image_version,
                build_time_s: self.build_time_s()?,
            },
        };
        image.write().map_err(|e| refused(&e))
    }

    /// <https://reproducible-builds.org/specs/source-date-epoch/>
    fn build_time_s(&self) -> Result<u64, Failure> {
        let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|_| self.epoch.is_none()) else {
            return Ok(self.epoch.unwrap_or(0));
        };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        seconds.ok_or_else(|| Failure::usage("SOURCE_DATE_EPOCH is not a number of seconds"))
    }

    fn boot(&self) -> Result<Vec<u8>, Failure> {
        let init = super::read(&self.init, MAX_EIF_BYTES)?;
        let contents = self
            .modules
            .iter()
            .map(|module| super::read(module, MAX_EIF_BYTES))
            .collect::<Result<Vec<_>, _>>()?;
        let modules = self.modules.iter().zip(&contents).map(|(path, contents)| {
            let name = name_of(path)?;
            Ok(Module { name, contents })
        });
        let boot = Boot {
            init: &init,
            modules: &modules.collect::<Result<Vec<_>, Failure>>()?,
            heartbeat_cid: self.heartbeat_cid,
        };
        boot.write(MODIFIED_S)
            .map_err(|e| Failure::refused(sentence(&e)))
    }

    fn application(&self) -> Result<Vec<u8>, Failure> {
        let binary = super::read(&self.binary, MAX_EIF_BYTES)?;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let application = Application {
            program: name_of(&self.binary)?,
            binary: &binary,
            arguments: &arguments,
            files: &[],
        };
        application
            .write(MODIFIED_S)
            .map_err(|e| Failure::refused(sentence(&e)))
    }
}

fn name_of(path: &Path) -> Result<&str, Failure> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::usage(format!("{} names no file", path.display())))
}

/// Whole, or not at all: half an image would be refused, but later and elsewhere.
fn write(file: &Path, eif: &[u8]) -> Result<(), Failure> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let failed = |error: std::io::Error| {
        Failure::refused(format!("cannot write {}: {error}", file.display()))
    };
    let mut new = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    new.write_all(eif).map_err(failed)?;
    new.persist(file).map_err(|e| failed(e.error))?;
    Ok(())
}
