//! The file's own form.
use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: WrittenSecret,
    pub(super) ingress: String,
    pub(super) resource: String,
    pub(super) owner_key: PathBuf,
    pub(super) trust: WrittenTrust,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) operator: Option<WrittenOperator>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTrust {
    pub(super) root: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) locked_key: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) pcrs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) releases: Vec<BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenOperator {
    pub(super) keyset: PathBuf,
}

/// Wiped when dropped; when it is of another type, the error does not repeat it.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub(super) struct WrittenSecret(pub(super) Zeroizing<String>);

impl TryFrom<toml::Value> for WrittenSecret {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, &'static str> {
        match value {
            toml::Value::String(text) => Ok(Self(Zeroizing::new(text))),
            _ => Err("client_secret must be a string"),
        }
    }
}

impl Clone for WrittenSecret {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl From<WrittenSecret> for toml::Value {
    fn from(secret: WrittenSecret) -> Self {
        toml::Value::String(secret.0.as_str().to_owned())
    }
}
