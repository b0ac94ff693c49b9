//! Whom a person trusts: a root of attestation and the measurements of a release.
//!
//! Neither ever comes from the issuer or the parent.
use std::{collections::BTreeMap, path::PathBuf};

use dauth_attestation::{Images, ReferenceValues};
use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};

use crate::ProfileError;

/// Trust values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The root that evidence must chain to.
    pub root: Root,
    /// The PCRs that evidence must have; 0 (the image) and 16 (its configuration) among them.
    pub pcrs: BTreeMap<u16, Pcr>,
}

/// A root of attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The built-in root of AWS Nitro Enclaves.
    Aws,
    /// PEM certificates in a file: a simulator's root. It works with a loopback issuer alone.
    Pem(PathBuf),
}

/// The name of the built-in root in a profile.
pub(crate) const AWS: &str = "aws";

impl Trust {
    /// The registers without which a profile is refused: an image without its configuration could
    /// be run for another issuer.
    const REQUIRED: [u16; 2] = [0, CONFIGURATION_PCR];

    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        match Self::REQUIRED.iter().find(|i| !self.pcrs.contains_key(i)) {
            Some(&index) => Err(ProfileError::MissingPcr(index)),
            None => Ok(()),
        }
    }

    /// The images that these values name.
    pub(crate) fn images(&self) -> Images {
        let values = self
            .pcrs
            .iter()
            .fold(ReferenceValues::new(), |values, (&index, pcr)| {
                values.with_pcr(index, pcr.as_bytes())
            });
        Images::AnyOf(vec![values])
    }
}

/// Reads the `pcrs` table of a profile.
pub(crate) fn parse_pcrs(
    written: &BTreeMap<String, String>,
) -> Result<BTreeMap<u16, Pcr>, ProfileError> {
    let parse = |(index, value): (&String, &String)| {
        let number = index
            .parse()
            .ok()
            .filter(|number: &u16| *number < 32 && index == &number.to_string())
            .ok_or_else(|| ProfileError::Pcr(index.clone()))?;
        let value = value
            .parse()
            .map_err(|_| ProfileError::Pcr(index.clone()))?;
        Ok((number, value))
    };
    written.iter().map(parse).collect()
}
