//! What is a deployment's own, measured at boot.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{limit::MAX_CONFIGURATION_BYTES, measurement::Pcr};

/// The configuration that the parent hands over once at boot, as JSON.
///
/// The enclave extends PCR16 with its SHA-384 before using any of it, so a client that pins PCR16
/// knows every field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentConfiguration {
    /// Always 1.
    pub version: u64,
    /// Names the deployment in KMS's encryption context.
    pub deployment: String,
    /// The enclave's resource identifier, without trailing slash: `aud` of its tokens.
    pub audience: String,
    /// `iss` of the tokens that it accepts, byte for byte.
    pub issuer: String,
    /// Where the issuer's keys come from.
    pub issuer_keys: IssuerKeys,
    /// Which KMS key releases the keyset.
    pub kms: Kms,
    /// KMS keys that the keyset may still be under, beside [`DeploymentConfiguration::kms`]: until
    /// the next generation, which is wrapped by that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_kms: Vec<Kms>,
    /// How often keys are replaced without an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Images and configurations that may have made the keyset, beside the running one.
    #[serde(default)]
    pub predecessors: Vec<Predecessor>,
}

/// How often keys are replaced without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Recipient keys older than this are replaced, in seconds. [`Rotation::DEFAULT`] where the
    /// configuration says nothing.
    pub recipient_keys_s: u64,
}

impl Rotation {
    /// A week: what was recorded of a link stays closed when a later key is lost.
    pub const DEFAULT: Self = Self {
        recipient_keys_s: 7 * 24 * 3600,
    };
    /// Envelopes live for ten minutes: keys that change faster would outnumber them.
    pub const MIN_RECIPIENT_KEYS_S: u64 = 600;
}

/// Where the issuer's keys come from: TLS to a measured address with a pinned key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerKeys {
    /// An `https` URL of the JWKS.
    pub url: String,
    /// SHA-256 of the server's SubjectPublicKeyInfo (DER), lower-case hexadecimal.
    pub spki_sha256: String,
}

/// The KMS key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kms {
    /// The key's full ARN.
    pub key_arn: String,
    /// The region that requests are signed for.
    pub region: String,
    /// `https://host[:port]`, when not the region's public endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What the enclave requires of the key's policy at boot.
    #[serde(default, skip_serializing_if = "KeyPolicyRule::is_default")]
    pub key_policy: KeyPolicyRule,
}

/// What the enclave requires of the KMS key's policy at boot, and says in its key configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPolicyRule {
    /// Nothing: its administrators may change which images open the keyset.
    #[default]
    Unchecked,
    /// That nobody can change it, and that it lets this image under this configuration alone use the
    /// key. The keyset must then have been made under it: there are no predecessors.
    Locked,
}

impl KeyPolicyRule {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An image and configuration that ran before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// Its image.
    pub pcr0: Pcr,
    /// Its configuration.
    pub pcr16: Pcr,
}

/// Why a deployment configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// Longer than [`MAX_CONFIGURATION_BYTES`].
    #[error("deployment configuration is too long")]
    TooLong,
    /// Not this structure, or with an unknown field.
    #[error("deployment configuration is malformed or has an unknown field")]
    Malformed,
    /// Another version.
    #[error("deployment configuration has an unknown version")]
    UnknownVersion,
    /// An empty field, or a resource identifier with a trailing slash.
    #[error("deployment configuration has an invalid {0}")]
    Field(&'static str),
}

impl DeploymentConfiguration {
    /// Parses and checks the JSON form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidConfiguration> {
        if bytes.len() > MAX_CONFIGURATION_BYTES {
            return Err(InvalidConfiguration::TooLong);
        }
        let configuration: Self =
            serde_json::from_slice(bytes).map_err(|_| InvalidConfiguration::Malformed)?;
        configuration.check()?;
        Ok(configuration)
    }

    fn check(&self) -> Result<(), InvalidConfiguration> {
        let invalid = |field| Err(InvalidConfiguration::Field(field));
        if self.version != 1 {
            return Err(InvalidConfiguration::UnknownVersion);
        }
        if self.deployment.is_empty() {
            return invalid("deployment");
        }
        if !self.audience.starts_with("https://") || self.audience.ends_with('/') {
            return invalid("audience");
        }
        if self.issuer.is_empty() {
            return invalid("issuer");
        }
        if !self.issuer_keys.url.starts_with("https://") {
            return invalid("issuer_keys.url");
        }
        if hex::decode(&self.issuer_keys.spki_sha256).map(|h| h.len()) != Ok(32) {
            return invalid("issuer_keys.spki_sha256");
        }
        let rotation = self.rotation.unwrap_or(Rotation::DEFAULT);
        if rotation.recipient_keys_s < Rotation::MIN_RECIPIENT_KEYS_S {
            return invalid("rotation.recipient_keys_s: it is at least 600");
        }
        std::iter::once(&self.kms)
            .chain(&self.former_kms)
            .try_for_each(Kms::check)?;
        // Two entries could say different things of one key: where it is, and whether it is locked.
        let mut arns = BTreeSet::from([self.kms.key_arn.as_str()]);
        if !self.former_kms.iter().all(|kms| arns.insert(&kms.key_arn)) {
            return invalid("former_kms: each KMS key is named once");
        }
        // A key that was locked later, or a keyset that came from elsewhere, may have been opened by
        // an image that nobody knows: what evidence says of a locked key would not be true.
        let locked = self.kms.key_policy == KeyPolicyRule::Locked;
        if locked && !(self.predecessors.is_empty() && self.former_kms.is_empty()) {
            return invalid("kms.key_policy: a locked key has no predecessors and no former keys");
        }
        Ok(())
    }
}

impl Kms {
    fn check(&self) -> Result<(), InvalidConfiguration> {
        let invalid = |field| Err(InvalidConfiguration::Field(field));
        if !self.key_arn.starts_with("arn:") {
            return invalid("kms.key_arn");
        }
        if self.region.is_empty() {
            return invalid("kms.region");
        }
        match &self.endpoint {
            Some(endpoint) if !endpoint.starts_with("https://") => invalid("kms.endpoint"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(change: &str) -> Result<DeploymentConfiguration, InvalidConfiguration> {
        let json = format!(
            r#"{{
                "version": 1, "deployment": "d", "audience": "https://enclave.test", "issuer": "i",
                "issuer_keys": {{"url": "https://i.test/jwks", "spki_sha256": "{}"}},
                {change}
            }}"#,
            "00".repeat(32)
        );
        DeploymentConfiguration::from_json(json.as_bytes())
    }

    #[test]
    fn a_locked_key_has_no_history() {
        const LOCKED: &str =
            r#""kms": {"key_arn": "arn:k", "region": "r", "key_policy": "locked"}"#;
        assert!(parsed(LOCKED).is_ok());
        let image = "11".repeat(48);
        for history in [
            format!(r#""predecessors": [{{"pcr0": "{image}", "pcr16": "{image}"}}]"#),
            r#""former_kms": [{"key_arn": "arn:former", "region": "r"}]"#.to_owned(),
        ] {
            let refused = parsed(&format!("{LOCKED}, {history}"));
            assert!(matches!(refused, Err(InvalidConfiguration::Field(_))));
            let unlocked = LOCKED.replace(r#", "key_policy": "locked""#, "");
            assert!(parsed(&format!("{unlocked}, {history}")).is_ok());
        }
    }

    /// A former key's entry would decide where the present one is asked.
    #[test]
    fn a_kms_key_is_named_once() {
        let keys = |former: &str| {
            parsed(&format!(
                r#""kms": {{"key_arn": "arn:k", "region": "r"}}, "former_kms": [{former}]"#
            ))
        };
        let former = |arn: &str| {
            format!(r#"{{"key_arn": "{arn}", "region": "r", "endpoint": "https://else.where"}}"#)
        };
        let both = |one, other| format!("{}, {}", former(one), former(other));
        assert!(keys(&both("arn:f", "arn:g")).is_ok());
        for keys in [keys(&former("arn:k")), keys(&both("arn:f", "arn:f"))] {
            assert!(matches!(keys, Err(InvalidConfiguration::Field(_))));
        }
    }

    #[test]
    fn keys_do_not_rotate_faster_than_envelopes_live() {
        let rotation = |seconds: u64| {
            parsed(&format!(
                r#""kms": {{"key_arn": "arn:k", "region": "r"}},
                   "rotation": {{"recipient_keys_s": {seconds}}}"#
            ))
        };
        assert!(rotation(600).is_ok());
        assert!(rotation(599).is_err());
    }
}
