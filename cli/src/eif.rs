//! `dauth eif`: make an image, and measure what an enclave runs.
mod build;
mod config;
mod measure;

use std::{fs, io::Read, path::Path};

use clap::Subcommand;

use crate::failure::Failure;

/// An image of 1 GiB would need an enclave of 4.
pub(crate) const MAX_EIF_BYTES: u64 = 1024 * 1024 * 1024;

/// Commands on images and what they are started with.
#[derive(Subcommand)]
pub(crate) enum Eif {
    Build(Box<build::Build>),
    Measure(measure::Measure),
    Config(config::Config),
}

impl Eif {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Eif::Build(build) => build.run(),
            Eif::Measure(measure) => measure.run(),
            Eif::Config(config) => config.run(),
        }
    }
}

/// A file of at most `limit` bytes.
pub(crate) fn read(file: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|f| f.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    if bytes.len() as u64 > limit {
        let file = file.display();
        return Err(Failure::refused(format!(
            "{file} is longer than {limit} bytes"
        )));
    }
    Ok(bytes)
}
