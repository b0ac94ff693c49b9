//! `Dockerfile.enclave` by an ordinary builder of OCI images, Debian's buildah.
//!
//! There is no registry of images here: a base image is made of Debian packages and of this
//! machine's Rust. What comes out goes through `dauth eif build` and `eif_build`
//! (`tests/tests/image.rs`).
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Build;
use crate::{
    command::{Failure, output_of, run},
    eif_build, packages,
    source::mirror,
};

const BASE: &str = "localhost/dauth-rust";
const PACKAGES: &str = "--include=gcc,libc6-dev,musl-tools,ca-certificates";

/// Builds the programs of the image in a container, and has them measured.
pub(crate) fn test() -> Result<(), Failure> {
    for (program, package) in [("buildah", "buildah"), ("debootstrap", "debootstrap")] {
        if output_of(Command::new(program).arg("--version")).is_err() {
            packages::install(&[package])?;
        }
    }
    eif_build::install()?;
    let here = Build::here()?;
    let folder = here.target.with_file_name("oci");
    let failed = |error: std::io::Error| Failure::new(format!("the OCI build: {error}"));
    fs::create_dir_all(&folder).map_err(failed)?;
    let folder = folder.canonicalize().map_err(failed)?;
    let buildah = Buildah { folder };
    let base = buildah.base_image()?;
    let programs = buildah.folder.join("programs");
    fs::create_dir_all(&programs).map_err(failed)?;
    // Both stages from one source, or the second would be built again for every edit in between.
    let source = buildah.folder.join("source");
    mirror(&here.source, &source)?;
    for (stage, program) in [("enclave", "dauth-enclave"), ("init", "dauth-init")] {
        let image = format!("localhost/dauth-{stage}");
        buildah.build(&source, &base, stage, &image)?;
        buildah.take_only(program, &image, &programs)?;
    }
    run(Command::new("sha256sum")
        .args(["dauth-enclave", "dauth-init"])
        .current_dir(&programs))?;
    run(Command::new(env!("CARGO"))
        .args(["test", "--locked", "--package", "dauth-tests"])
        .args(["--test", "image", "of_the_programs_of_a_container"])
        .env("DAUTH_IMAGE_PROGRAMS", &programs))
}

struct Buildah {
    folder: PathBuf,
}

impl Buildah {
    /// Without privileges beyond root in a sandbox: no overlay, no namespaces.
    fn command(&self, subcommand: &str) -> Command {
        let mut buildah = Command::new("buildah");
        buildah
            .arg("--root")
            .arg(self.folder.join("storage"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .args(["--storage-driver", "vfs", subcommand]);
        buildah
    }

    /// The stand-in for an official image of Rust, by its digest.
    fn base_image(&self) -> Result<String, Failure> {
        let root = self.folder.join("base");
        if !root.join("bin/sh").exists() {
            run(Command::new("debootstrap")
                .args(["--variant=minbase", PACKAGES, "bookworm"])
                .arg(&root))?;
        }
        let digest = ["--format", "{{.Digest}}", BASE];
        if let Ok(known) = output_of(self.command("images").args(digest)) {
            return Ok(format!("{BASE}@{known}"));
        }
        let container = output_of(self.command("from").arg("scratch"))?;
        run(self
            .command("add")
            .args(["--quiet", &container])
            .args([&root, Path::new("/")]))?;
        let path = format!(
            "PATH={}/bin:/usr/local/bin:/usr/bin:/bin",
            output_of(Command::new("rustc").args(["--print", "sysroot"]))?
        );
        let environment = ["--env", &path, "--env", "CARGO_HOME=/usr/local/cargo"];
        run(self.command("config").args(environment).arg(&container))?;
        run(self
            .command("commit")
            .args(["--quiet", "--rm", &container, BASE]))?;
        let known = output_of(self.command("images").args(digest))?;
        Ok(format!("{BASE}@{known}"))
    }

    fn build(&self, source: &Path, base: &str, stage: &str, image: &str) -> Result<(), Failure> {
        // The compiler, and the crates that this machine has downloaded.
        let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
        let home = env::var("CARGO_HOME")
            .or_else(|_| env::var("HOME").map(|home| format!("{home}/.cargo")))
            .map_err(|_| Failure::new("neither CARGO_HOME nor HOME is set"))?;
        run(self
            .command("bud")
            .args(["--isolation", "chroot", "--layers"])
            .args(["--file", "Dockerfile.enclave", "--target", stage])
            .args(["--build-arg", &format!("RUST_IMAGE={base}")])
            .args(["--volume", &format!("{sysroot}:{sysroot}:ro")])
            .args([
                "--volume",
                &format!("{home}/registry:/usr/local/cargo/registry"),
            ])
            .args(["--tag", image, "."])
            .current_dir(source))
    }

    /// Copies the one file of an image. Another would be in the enclave, and in nobody's review.
    fn take_only(&self, program: &str, image: &str, to: &Path) -> Result<(), Failure> {
        let container = output_of(self.command("from").arg(image))?;
        let root = PathBuf::from(output_of(self.command("mount").arg(&container))?);
        let files = output_of(
            Command::new("find")
                .args([".", "-mindepth", "1"])
                .current_dir(&root),
        );
        let copied = files.and_then(|files| {
            if files != format!("./{program}") {
                return Err(Failure::new(format!("{image} holds {files:?}")));
            }
            fs::copy(root.join(program), to.join(program))
                .map_err(|error| Failure::new(format!("{image}: {error}")))
        });
        run(self.command("rm").arg(&container))?;
        copied.map(|_| ())
    }
}
