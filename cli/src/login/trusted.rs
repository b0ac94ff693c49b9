//! What is to be trusted: the values of a release, and a deployment's PCR16.
use std::collections::BTreeMap;

use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};

use super::Login;
use crate::{failure::Failure, trust};

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
        let trust = trust::read_trust(&login.trust, login.release_key.as_deref())?;
        let mut trusted = Self {
            pcrs: trust.pcrs().collect(),
            version: trust.release().map(|release| release.version.clone()),
            audience: None,
        };
        if let Some(file) = &login.configuration {
            let (pcr16, configuration) = trust::configuration(file)?;
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
