//! `dauth eif config`: PCR16.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    failure::Failure,
    output::{self, Output},
    trust,
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
        let (pcr16, _) = trust::configuration(&self.file)?;
        match Output::from_flag(self.json) {
            Output::Json => output::json(&json!({ "PCR16": pcr16 })),
            Output::Text => anstream::println!("PCR16  {pcr16}"),
        }
        Ok(())
    }
}
