//! A key policy: the JSON document that KMS takes, evaluated for one request.
//!
//! Supported is what a policy of an attested key needs: `Allow` and `Deny`, AWS principals, actions
//! with a trailing `*`, and the operators of [`Operator`]. Anything else is refused when the policy
//! is loaded, never ignored. There is no IAM beside it: an `Allow` for the account's root, which
//! delegates to IAM, grants nothing here.
use std::collections::BTreeMap;

use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};
use serde::{Deserialize, de::Error as _};
use serde_json::{Value, json};

/// Actions that make or open a key that someone outside an enclave knows.
const WRAPPING_ACTIONS: [&str; 4] = [
    "kms:Encrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
];
/// Actions of an enclave.
const ATTESTED_ACTIONS: [&str; 2] = ["kms:GenerateDataKey", "kms:Decrypt"];

/// A key policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct KeyPolicy {
    #[serde(rename = "Version")]
    _version: Version,
    #[serde(default, rename = "Id")]
    _id: Option<String>,
    statement: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Statement {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Principal,
    action: OneOrMany,
    #[serde(rename = "Resource")]
    _resource: AnyResource,
    #[serde(default)]
    condition: BTreeMap<Operator, BTreeMap<String, OneOrMany>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// In a key policy, `*` means the key that the policy belongs to.
#[derive(Clone, Copy, Debug, Deserialize)]
enum AnyResource {
    #[serde(rename = "*")]
    ThisKey,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Operator {
    /// The value is one of these.
    StringEquals,
    /// The same, letter case aside.
    StringEqualsIgnoreCase,
    /// The value is none of these, or absent.
    StringNotEquals,
    /// The same, letter case aside.
    StringNotEqualsIgnoreCase,
    /// `true`: the value is absent; `false`: it is there.
    Null,
}

#[derive(Clone, Debug)]
enum Principal {
    Anyone,
    Aws(Vec<String>),
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Map(BTreeMap<String, OneOrMany>),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) if text == "*" => Ok(Self::Anyone),
            Form::Text(_) => Err(D::Error::custom("a Principal is \"*\" or {\"AWS\": ...}")),
            Form::Map(mut map) => match (map.remove("AWS"), map.is_empty()) {
                (Some(OneOrMany(names)), true) => Ok(Self::Aws(names)),
                _ => Err(D::Error::custom("only AWS principals are simulated")),
            },
        }
    }
}

#[derive(Clone, Debug)]
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Many(many) => many,
        }))
    }
}

/// What a policy decides about.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    /// The caller's ARN.
    pub principal: &'a str,
    /// `kms:Decrypt` and so on.
    pub action: &'a str,
    /// Condition keys and their values. Names are compared without regard to case.
    pub context: BTreeMap<String, String>,
}

/// What it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it, or none allows it.
    Denied,
}

impl KeyPolicy {
    /// Parses a policy document.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Decides: an explicit denial overrides, and what nothing allows is denied.
    pub fn decide(&self, access: &Access<'_>) -> Decision {
        let applies = |effect| {
            self.statement
                .iter()
                .any(|statement| statement.effect == effect && statement.matches(access))
        };
        if applies(Effect::Allow) && !applies(Effect::Deny) {
            Decision::Allowed
        } else {
            Decision::Denied
        }
    }
}

impl Statement {
    fn matches(&self, access: &Access<'_>) -> bool {
        self.matches_principal(access.principal)
            && self
                .action
                .0
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => access.action.starts_with(prefix),
                    None => access.action == pattern,
                })
            && self.condition.iter().all(|(operator, keys)| {
                keys.iter()
                    .all(|(key, OneOrMany(values))| operator.holds(access.value(key), values))
            })
    }

    fn matches_principal(&self, principal: &str) -> bool {
        let Principal::Aws(names) = &self.principal else {
            return true;
        };
        let account = principal.split(':').nth(4).unwrap_or_default();
        let root = format!("arn:aws:iam::{account}:root");
        names.iter().any(|name| {
            name == "*" || name == principal || (self.effect == Effect::Deny && *name == root)
        })
    }
}

impl Access<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        self.context
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
    }
}

impl Operator {
    fn holds(self, actual: Option<&str>, values: &[String]) -> bool {
        let equals = |actual: &str| values.iter().any(|value| value == actual);
        let like = |actual: &str| {
            values
                .iter()
                .any(|value| value.eq_ignore_ascii_case(actual))
        };
        match self {
            Self::StringEquals => actual.is_some_and(equals),
            Self::StringEqualsIgnoreCase => actual.is_some_and(like),
            Self::StringNotEquals => !actual.is_some_and(equals),
            Self::StringNotEqualsIgnoreCase => !actual.is_some_and(like),
            Self::Null => values
                .iter()
                .any(|value| (value == "true") == actual.is_none()),
        }
    }
}

/// The policy of an attested key: `role` may use it from the named images and configurations
/// (PCR0 and PCR16, both) and from nowhere else, and nobody may wrap a key of his own.
pub fn attested_policy(role: &str, images: &[(Pcr, Pcr)]) -> Value {
    let configuration = format!("kms:RecipientAttestation:PCR{CONFIGURATION_PCR}");
    // One statement for each image: the lists of one condition would combine freely.
    let mut statements: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(number, (pcr0, pcr16))| {
            json!({
                "Sid": format!("AttestedImage{number}"),
                "Effect": "Allow",
                "Principal": {"AWS": role},
                "Action": ATTESTED_ACTIONS,
                "Resource": "*",
                "Condition": {"StringEqualsIgnoreCase": {
                    "kms:RecipientAttestation:ImageSha384": pcr0.to_string(),
                    configuration.as_str(): pcr16.to_string(),
                }},
            })
        })
        .collect();
    statements.push(json!({
        "Sid": "NoUseWithoutAttestation",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["kms:GenerateDataKey*", "kms:Decrypt", "kms:GenerateRandom"],
        "Resource": "*",
        "Condition": {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}},
    }));
    statements.push(json!({
        "Sid": "NoKeysOfOthers",
        "Effect": "Deny",
        "Principal": "*",
        "Action": WRAPPING_ACTIONS,
        "Resource": "*",
    }));
    json!({"Version": "2012-10-17", "Id": "dauth-keyset", "Statement": statements})
}

#[cfg(test)]
mod tests;
