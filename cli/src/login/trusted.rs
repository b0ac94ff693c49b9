//! What is to be trusted: the values of a release, and a deployment's PCR16.
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use dauth_image::release::{
    MAX_SIGNATURE_BYTES, MAX_TRUST_FILE_BYTES, ReleaseKey, Trust, TrustFile,
};
use dauth_protocol::{
    DeploymentConfiguration,
    limit::MAX_CONFIGURATION_BYTES,
    measurement::{CONFIGURATION_PCR, Pcr},
};

use super::Login;
use crate::failure::{Failure, sentence};

/// Values that evidence must have.
pub(super) struct Trusted {
    pub(super) pcrs: BTreeMap<u16, Pcr>,
    /// The version, where a signed manifest said so.
    pub(super) version: Option<String>,
    /// The enclave's name, where the deployment configuration was named.
    pub(super) audience: Option<String>,
}

impl Trusted {
    /// As the options say. Nothing is asked of anybody.
    pub(super) fn read(login: &Login) -> Result<Self, Failure> {
        let key = login.release_key.as_deref().map(release_key).transpose()?;
        let trust = trust_file(&login.trust, key.as_ref())?;
        let mut trusted = Self {
            pcrs: trust.pcrs().collect(),
            version: trust.release().map(|release| release.version.clone()),
            audience: None,
        };
        if let Some(file) = &login.configuration {
            let (pcr16, configuration) = configuration(file)?;
            if configuration.issuer != login.issuer {
                return Err(Failure::refused(format!(
                    "{} is the configuration of a deployment of {:?}, not of {:?}",
                    file.display(),
                    configuration.issuer,
                    login.issuer
                )));
            }
            trusted.require(pcr16)?;
            trusted.audience = Some(configuration.audience);
        }
        if let Some(pcr16) = login.pcr16 {
            trusted.require(pcr16)?;
        }
        if !trusted.pcrs.contains_key(&CONFIGURATION_PCR) {
            return Err(Failure::refused(
                "PCR16 is missing: the same image could be started for another issuer; name the \
                 deployment configuration with --configuration, or its value with --pcr 16=HEX",
            ));
        }
        Ok(trusted)
    }

    fn require(&mut self, pcr16: Pcr) -> Result<(), Failure> {
        match self.pcrs.insert(CONFIGURATION_PCR, pcr16) {
            Some(other) if other != pcr16 => Err(Failure::refused(
                "--trust names another PCR16 than --configuration or --pcr",
            )),
            _ => Ok(()),
        }
    }
}

/// `16=HEX`.
pub(super) fn parse_pcr16(text: &str) -> Result<Pcr, String> {
    let value = text
        .strip_prefix("16=")
        .ok_or("write 16=HEX, as in 16=03bc…; other registers are in the file of --trust")?;
    value.parse().map_err(|e| format!("PCR16: {e}"))
}

fn release_key(text: &str) -> Result<ReleaseKey, Failure> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let file = Path::new(text);
    let read = bounded(file, MAX_SIGNATURE_BYTES).map_err(|error| {
        Failure::refused(format!(
            "--release-key is neither a minisign public key nor a file with one: {}: {error}",
            file.display()
        ))
    })?;
    String::from_utf8_lossy(&read)
        .parse()
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))
}

fn trust_file(file: &Path, key: Option<&ReleaseKey>) -> Result<Trust, Failure> {
    let failed = |path: &Path, error: &io::Error| {
        Failure::refused(format!("cannot read {}: {error}", path.display()))
    };
    let contents = bounded(file, MAX_TRUST_FILE_BYTES).map_err(|e| failed(file, &e))?;
    let beside = signature_of(file);
    let signature = match bounded(&beside, MAX_SIGNATURE_BYTES) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&beside, &error)),
    };
    Trust::read(&TrustFile {
        contents: &contents,
        signature: signature.as_deref(),
        key,
    })
    .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))
}

/// Where minisign puts the signature of a file.
fn signature_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".minisig");
    PathBuf::from(name)
}

/// The configuration's measurement, over its very bytes, and what it says.
fn configuration(file: &Path) -> Result<(Pcr, DeploymentConfiguration), Failure> {
    let bytes = bounded(file, MAX_CONFIGURATION_BYTES)
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    let configuration = DeploymentConfiguration::from_json(&bytes)
        .map_err(|e| Failure::refused(format!("{}: {}", file.display(), sentence(&e))))?;
    Ok((Pcr::of_configuration(&bytes), configuration))
}

/// A file of at most so many bytes, and one more, which its reader refuses.
fn bounded(file: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
