//! `dauth release`: what a release is published with.
use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use dauth_image::release::Draft;

use crate::{
    eif::{MAX_EIF_BYTES, read},
    failure::{Failure, sentence},
    output,
};

/// Commands for those who publish a release.
#[derive(Subcommand)]
pub(crate) enum Release {
    Manifest(Manifest),
}

/// Write the manifest of a release: version, commit, PCRs, and the SHA-256 of image and program.
///
/// The same release gives the same bytes. Sign them with `minisign -S -m FILE`, and publish both:
/// `dauth attest verify --trust` and `dauth login --trust` take them in place of hexadecimal values.
/// An image that does not hold the program is refused.
#[derive(Args)]
pub(crate) struct Manifest {
    /// The version of the release.
    #[arg(long, value_name = "VERSION")]
    release: String,
    /// The commit that the image was built from: 40 or 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    commit: String,
    /// The image (EIF), as `dauth eif build` makes it.
    #[arg(long, value_name = "FILE")]
    eif: PathBuf,
    /// The enclave's program.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// Where to write the manifest, in place of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Release {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let Release::Manifest(manifest) = self;
        manifest.run()
    }
}

impl Manifest {
    fn run(&self) -> Result<(), Failure> {
        let eif = read(&self.eif, MAX_EIF_BYTES)?;
        let enclave = read(&self.binary, MAX_EIF_BYTES)?;
        let draft = Draft {
            version: &self.release,
            commit: &self.commit,
            eif: &eif,
            enclave: &enclave,
        };
        let manifest = draft
            .manifest()
            .map_err(|e| Failure::refused(format!("no manifest: {}", sentence(&e))))?;
        let json = manifest.to_json();
        match &self.output {
            None => output::text(&String::from_utf8_lossy(&json)),
            Some(file) => fs::write(file, json)
                .map_err(|e| Failure::refused(format!("cannot write {}: {e}", file.display()))),
        }
    }
}
