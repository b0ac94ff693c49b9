//! Whom a person trusts: a root of attestation and the measurements of releases.
//!
//! Neither ever comes from the issuer or the parent.
use std::{collections::BTreeMap, path::PathBuf};

use dauth_attestation::{Images, ReferenceValues};
use dauth_attested_tls::Custody;
use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};

use crate::ProfileError;

/// Trust values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The root that evidence must chain to.
    pub root: Root,
    /// The PCRs that evidence must have; 0 (the image) and 16 (its configuration) among them.
    /// Empty, where `releases` say it all.
    pub pcrs: Pcrs,
    /// Other releases that are trusted as much: the old and the new one during an upgrade.
    pub releases: Vec<Pcrs>,
    /// What is required of the KMS key that guards the enclave's keyset.
    pub custody: Custody,
}

/// PCR values by register.
pub type Pcrs = BTreeMap<u16, Pcr>;

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
        let mut trusted = self.trusted().peekable();
        if trusted.peek().is_none() {
            return Err(ProfileError::NoRelease);
        }
        for release in trusted {
            if let Some(&index) = Self::REQUIRED.iter().find(|i| !release.contains_key(i)) {
                return Err(ProfileError::MissingPcr(index));
            }
        }
        Ok(())
    }

    fn trusted(&self) -> impl Iterator<Item = &Pcrs> {
        let pcrs = (!self.pcrs.is_empty()).then_some(&self.pcrs);
        pcrs.into_iter().chain(&self.releases)
    }

    /// The images that these values name.
    pub(crate) fn images(&self) -> Images {
        let values = |release: &Pcrs| {
            let none = ReferenceValues::new();
            release.iter().fold(none, |values, (&index, pcr)| {
                values.with_pcr(index, pcr.as_bytes())
            })
        };
        Images::AnyOf(self.trusted().map(values).collect())
    }
}

/// Writes a table of PCRs for a profile.
pub(crate) fn written_pcrs(pcrs: &Pcrs) -> BTreeMap<String, String> {
    pcrs.iter()
        .map(|(index, pcr)| (index.to_string(), pcr.to_string()))
        .collect()
}

/// Reads a table of PCRs of a profile.
pub(crate) fn parse_pcrs(written: &BTreeMap<String, String>) -> Result<Pcrs, ProfileError> {
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
