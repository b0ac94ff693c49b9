//! QEMU, the kernel and the vsock device: out of the cache, or made.
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Missing,
    cache::{self, Cache, Entry},
    packages,
};
use crate::{
    command::{Failure, within},
    image,
};

const FETCH: Script = Script {
    name: "packages.sh",
    text: include_str!("packages.sh"),
    limit_s: 10 * 60,
};
const QEMU: Script = Script {
    name: "qemu.sh",
    text: include_str!("qemu.sh"),
    limit_s: 45 * 60,
};
const KERNEL: Script = Script {
    name: "kernel.sh",
    text: include_str!("kernel.sh"),
    limit_s: 5 * 60,
};
/// A crate that is installed by Cargo.
const VSOCK_DEVICE: &str = "vhost-device-vsock@0.3.0";

/// One minute on two quiet cores.
const VSOCK_DEVICE_LIMIT_S: u32 = 20 * 60;

/// A script of this folder.
struct Script {
    name: &'static str,
    text: &'static str,
    limit_s: u32,
}

/// Folders in the cache.
pub(crate) struct Tools {
    qemu: PathBuf,
    kernel: PathBuf,
    vsock_device: PathBuf,
}

impl Tools {
    /// For the file that the tests read.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for (name, file) in [
            ("qemu", self.qemu.join("qemu-system-x86_64")),
            ("firmware", self.qemu.join("firmware")),
            ("kernel", self.kernel.join("vmlinuz")),
            ("modules", self.kernel.join("modules")),
            (
                "vsock_device",
                self.vsock_device.join("bin/vhost-device-vsock"),
            ),
        ] {
            let _ = writeln!(lines, "{name} = '{}'", file.display());
        }
        lines
    }
}

/// The tools, made where they are missing.
pub(crate) fn provide(cache: &Cache, missing: Missing) -> Result<Tools, Failure> {
    let qemu = cache.entry("qemu", &[FETCH.text, QEMU.text].concat());
    let kernel = cache.entry("kernel", &[FETCH.text, KERNEL.text].concat());
    let vsock_device = cache.entry("vhost-device-vsock", VSOCK_DEVICE);
    let absent: Vec<String> = [&qemu, &kernel, &vsock_device]
        .into_iter()
        .filter(|entry| !entry.is_there())
        .map(|entry| entry.folder().display().to_string())
        .collect();
    if missing == Missing::Skip && !absent.is_empty() {
        return Err(Failure::new(format!("not there: {}", absent.join(", "))));
    }
    if !qemu.is_there() || !kernel.is_there() {
        make_from_packages(cache, &qemu, &kernel)?;
    }
    vsock_device.make(make_vsock_device)?;
    packages::to_boot(missing)?;
    image::add_target()?;
    Ok(Tools {
        qemu: qemu.folder().to_owned(),
        kernel: kernel.folder().to_owned(),
        vsock_device: vsock_device.folder().to_owned(),
    })
}

fn make_from_packages(cache: &Cache, qemu: &Entry, kernel: &Entry) -> Result<(), Failure> {
    packages::to_make_tools()?;
    let fetched = cache.scratch("packages");
    let failed = |error| Failure::new(format!("{}: {error}", fetched.display()));
    cache::remove(&fetched).map_err(failed)?;
    fs::create_dir_all(&fetched).map_err(failed)?;
    FETCH.run(cache, &[&fetched])?;
    kernel.make(|work, filled| KERNEL.run(cache, &[&fetched, work, filled]))?;
    println!("xtask: building QEMU, about three minutes on two cores");
    qemu.make(|work, filled| QEMU.run(cache, &[&fetched, work, filled]))?;
    cache::remove(&fetched).map_err(failed)
}

fn make_vsock_device(work: &Path, filled: &Path) -> Result<(), Failure> {
    println!("xtask: building {VSOCK_DEVICE}, about one minute on two cores");
    within(
        VSOCK_DEVICE_LIMIT_S,
        Command::new(env!("CARGO"))
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(filled)
            .arg(VSOCK_DEVICE)
            .env("CARGO_TARGET_DIR", work),
    )
}

impl Script {
    fn run(&self, cache: &Cache, folders: &[&Path]) -> Result<(), Failure> {
        let file = cache.scratch(self.name);
        fs::write(&file, self.text)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        within(self.limit_s, Command::new("bash").arg(&file).args(folders))
    }
}
