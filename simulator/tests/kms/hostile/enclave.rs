//! An enclave without a module: its documents are the recipient's public key alone.
use std::net::SocketAddr;

use dauth_enclave::platform::{Attester, AttesterError, Claims, PcrState};
use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{IssuerKeys, KeyPolicyRule, Kms},
    measurement::Pcr,
};

use super::server::KEY_ARN;

/// A module that attests whatever it is given.
pub(super) struct Bare;

impl Attester for Bare {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        Ok(claims.public_key.clone())
    }

    fn random(&self, _: &mut [u8]) -> Result<(), AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn describe_pcr(&self, _: u16) -> Result<PcrState, AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn extend_pcr(&self, _: u16, _: &[u8]) -> Result<Pcr, AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn lock_pcrs(&self, _: u16) -> Result<(), AttesterError> {
        Err(AttesterError::Unavailable)
    }
}

pub(super) fn configuration(kms: SocketAddr) -> DeploymentConfiguration {
    DeploymentConfiguration {
        version: 1,
        deployment: "test".to_owned(),
        audience: "https://enclave.test".to_owned(),
        issuer: "http://issuer.test".to_owned(),
        issuer_keys: IssuerKeys {
            url: "https://issuer.test/jwks.json".to_owned(),
            spki_sha256: "00".repeat(32),
        },
        kms: kms_at(kms, KEY_ARN),
        former_kms: Vec::new(),
        rotation: None,
        predecessors: Vec::new(),
    }
}

pub(super) fn kms_at(address: SocketAddr, key_arn: &str) -> Kms {
    Kms {
        key_arn: key_arn.to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: Some(format!("https://{address}")),
        key_policy: KeyPolicyRule::Unchecked,
    }
}
