//! `dauth eif`: measurements of what an enclave runs.
use std::{fs, io::Read, path::PathBuf};

use clap::Subcommand;
use dauth_protocol::{DeploymentConfiguration, limit::MAX_CONFIGURATION_BYTES, measurement::Pcr};
use serde_json::json;

use crate::{
    failure::{Failure, sentence},
    output::{self, Output},
};

/// Commands on images and what they are started with.
#[derive(Subcommand)]
pub(crate) enum Eif {
    /// Print the PCR16 of a deployment configuration, as the enclave measures it at boot.
    Config {
        /// The configuration: the very bytes that the parent hands over.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Eif {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let Eif::Config { file, json } = self;
        let mut bytes = Vec::new();
        fs::File::open(file)
            .and_then(|f| {
                f.take(MAX_CONFIGURATION_BYTES as u64 + 1)
                    .read_to_end(&mut bytes)
            })
            .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
        // A value that no enclave would serve under is of no use to anyone.
        DeploymentConfiguration::from_json(&bytes)
            .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))?;
        let pcr16 = Pcr::of_configuration(&bytes);
        match Output::from_flag(*json) {
            Output::Json => output::json(&json!({ "PCR16": pcr16 })),
            Output::Text => anstream::println!("PCR16  {pcr16}"),
        }
        Ok(())
    }
}
