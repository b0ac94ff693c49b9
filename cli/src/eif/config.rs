//! `dauth eif config`: PCR16.
use std::path::PathBuf;

use clap::Args;
use dauth_protocol::{DeploymentConfiguration, limit::MAX_CONFIGURATION_BYTES, measurement::Pcr};
use serde_json::json;

use crate::{
    failure::{Failure, sentence},
    output::{self, Output},
};

/// Print the PCR16 of a deployment configuration, as the enclave measures it at boot.
#[derive(Args)]
pub(crate) struct Config {
    /// The configuration: the very bytes that the parent hands over.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Config {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let file = &self.file;
        let bytes = super::read(file, MAX_CONFIGURATION_BYTES as u64)?;
        // A value that no enclave would serve under is of no use to anyone.
        DeploymentConfiguration::from_json(&bytes)
            .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))?;
        let pcr16 = Pcr::of_configuration(&bytes);
        match Output::from_flag(self.json) {
            Output::Json => output::json(&json!({ "PCR16": pcr16 })),
            Output::Text => anstream::println!("PCR16  {pcr16}"),
        }
        Ok(())
    }
}
