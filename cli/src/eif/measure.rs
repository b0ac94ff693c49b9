//! `dauth eif measure`: PCR0, 1 and 2 of an image, and PCR8 of its signer.
use std::path::{Path, PathBuf};

use clap::Args;
use dauth_image::{Eif, EifError, Measurements};
use serde_json::{Map, Value};

use super::MAX_EIF_BYTES;
use crate::{
    failure::{Failure, sentence},
    output::{self, Output},
};

/// Print the PCRs of an image, as the hypervisor measures them.
///
/// An image that is damaged, that two readers could understand differently, or whose signature is
/// not right, is refused.
#[derive(Args)]
pub(crate) struct Measure {
    /// The image (EIF).
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Measure {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let bytes = super::read(&self.file, MAX_EIF_BYTES)?;
        print(&of(&self.file, &bytes)?, Output::from_flag(self.json));
        Ok(())
    }
}

/// The measurements of the image that `file` holds.
pub(super) fn of(file: &Path, bytes: &[u8]) -> Result<Measurements, Failure> {
    Eif::parse(bytes)
        .and_then(|eif| eif.measure().map_err(EifError::from))
        .map_err(|e| Failure::refused(format!("{}: refused: {}", file.display(), sentence(&e))))
}

/// One register a line, or an object as `eif_build` prints one.
pub(super) fn print(measured: &Measurements, output: Output) {
    let named = measured
        .pcrs()
        .map(|(number, pcr)| (format!("PCR{number}"), pcr.to_string()));
    match output {
        Output::Json => {
            let object: Map<_, _> = named.map(|(n, pcr)| (n, Value::from(pcr))).collect();
            output::json(&object);
        }
        Output::Text => {
            for (name, pcr) in named {
                anstream::println!("{name:<5}  {pcr}");
            }
        }
    }
}
