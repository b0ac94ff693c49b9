//! The workspace in the cache, always at the same place.
//!
//! Of what is compiled, most depends on where the source lies. Compiled there, it serves every
//! clone: what changed since the last run is compiled, and nothing else.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::cache::Cache;
use crate::{command::Failure, image::Build, source::mirror};

pub(crate) struct Workspace {
    source: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// A copy of the workspace that this task belongs to, as it is now.
    pub(crate) fn copied(cache: &Cache) -> Result<Self, Failure> {
        let workspace = Self {
            source: cache.lasting("source"),
            target: cache.lasting("target"),
        };
        mirror(&Build::here()?.source, &workspace.source)?;
        Ok(workspace)
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Builds the programs that run in an enclave.
    pub(crate) fn image_build(&self) -> Build {
        Build {
            source: self.source.clone(),
            target: self.target.join("image-build"),
        }
    }

    /// Cargo, for what runs on this host.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(arguments)
            .current_dir(&self.source)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}
