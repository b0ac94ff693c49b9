//! The values that evidence is held against: a signed release manifest or a file of PCRs, and what
//! the deployment's configuration measures.
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use dauth_image::release::{
    MAX_SIGNATURE_BYTES, MAX_TRUST_FILE_BYTES, Manifest, ReleaseKey, Trust, TrustFile,
};
use dauth_protocol::{
    DeploymentConfiguration,
    limit::MAX_CONFIGURATION_BYTES,
    measurement::{CONFIGURATION_PCR, Pcr},
};

use crate::{
    eif::read,
    failure::{Failure, sentence},
};

/// Where the values come from: never from the issuer, nor from the parent.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TrustOptions {
    /// PCR values to require: a signed release manifest (its signature beside it, as FILE.minisig,
    /// and --release-key), or JSON or TOML of {pcrs: {"0": HEX, …}}.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The minisign public key that releases are signed with, or its file.
    #[arg(long, value_name = "KEY|FILE", requires = "trust")]
    pub(crate) release_key: Option<String>,
    /// The deployment's configuration: requires the PCR16 that the enclave measures it into.
    #[arg(long, value_name = "FILE")]
    pub(crate) configuration: Option<PathBuf>,
}

/// The PCRs to require, and the release that a manifest said they are of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Required {
    /// By register.
    pub(crate) pcrs: BTreeMap<u16, Vec<u8>>,
    /// Where a signed manifest was named.
    pub(crate) release: Option<Manifest>,
}

impl TrustOptions {
    /// The values of the files, and those that the caller names one by one. A register that is
    /// named twice is refused: one of the two would go unchecked.
    pub(crate) fn required(&self, named: &[(u16, Vec<u8>)]) -> Result<Required, Failure> {
        let mut required = Required::default();
        if let Some(file) = &self.trust {
            let trust = read_trust(file, self.release_key.as_deref())?;
            let pcrs = trust.pcrs();
            required.pcrs = pcrs.map(|(n, pcr)| (n, pcr.as_bytes().to_vec())).collect();
            required.release = trust.release().cloned();
        }
        let measured = self
            .configuration
            .as_deref()
            .map(configuration)
            .transpose()?;
        let configuration = measured.map(|(pcr, _)| (CONFIGURATION_PCR, pcr.as_bytes().to_vec()));
        for (index, value) in configuration.into_iter().chain(named.iter().cloned()) {
            match required.pcrs.entry(index) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(_) => {
                    let twice = format!("PCR{index} is given more than once");
                    return Err(Failure::usage(twice));
                }
            };
        }
        Ok(required)
    }
}

/// What a trust file says, under the release key where one is named.
pub(crate) fn read_trust(file: &Path, key: Option<&str>) -> Result<Trust, Failure> {
    let contents = read(file, MAX_TRUST_FILE_BYTES as u64)?;
    let key = key.map(release_key).transpose()?;
    let signature = match &key {
        Some(_) => signature_of(file)?,
        None => None,
    };
    Trust::read(&TrustFile {
        contents: &contents,
        signature: signature.as_deref(),
        key: key.as_ref(),
    })
    .map_err(|e| Failure::refused(format!("{}: refused: {}", file.display(), sentence(&e))))
}

/// A deployment's configuration: its measurement, over its very bytes, and what it says.
pub(crate) fn configuration(file: &Path) -> Result<(Pcr, DeploymentConfiguration), Failure> {
    let bytes = read(file, MAX_CONFIGURATION_BYTES as u64)?;
    // A value that no enclave would serve under is of no use to anyone.
    let configuration = DeploymentConfiguration::from_json(&bytes)
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))?;
    Ok((Pcr::of_configuration(&bytes), configuration))
}

/// A key as it is written, or the file that holds it.
fn release_key(text: &str) -> Result<ReleaseKey, Failure> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let contents = read(Path::new(text), MAX_SIGNATURE_BYTES as u64).map_err(|failure| {
        Failure::refused(format!(
            "--release-key is neither a minisign public key nor a file with one: {failure}"
        ))
    })?;
    String::from_utf8_lossy(&contents)
        .parse()
        .map_err(|e| Failure::refused(format!("{text}: {}", sentence(&e))))
}

/// The signature beside a manifest, if it is there.
fn signature_of(file: &Path) -> Result<Option<String>, Failure> {
    let mut beside = OsString::from(file);
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    if !fs::exists(&beside).unwrap_or(true) {
        return Ok(None);
    }
    let contents = read(&beside, MAX_SIGNATURE_BYTES as u64)?;
    Ok(Some(String::from_utf8_lossy(&contents).into_owned()))
}

#[cfg(test)]
mod tests;
