//! The KMS keys: each with its policy, its grants and what `DescribeKey` says of it.
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{error::Refusal, master_key::MasterKey, operation::Operation, policy_file::PolicyFile};

/// What `ListGrants` returns at most in one page.
const MAX_PAGE: usize = 100;

/// A KMS key.
pub struct Key {
    /// What wraps.
    pub master: MasterKey,
    /// Who may use it.
    pub policy: PolicyFile,
    /// Where its material comes from.
    pub origin: Origin,
    /// Whether it may have replicas in other regions.
    pub multi_region: bool,
    /// Whether it can be used.
    pub state: KeyState,
    /// Who may use it beside the policy.
    pub grants: Vec<Grant>,
}

/// Where the material of a key comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Origin {
    /// KMS made it, and nobody else has it.
    #[default]
    AwsKms,
    /// Someone imported it, and may have kept it.
    External,
    /// A cluster of hardware modules that the account runs.
    AwsCloudhsm,
    /// A key manager outside AWS.
    ExternalKeyStore,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// It can.
    #[default]
    Enabled,
    /// It can again once it is enabled.
    Disabled,
    /// It is going to be destroyed.
    PendingDeletion,
}

/// A grant: use of a key beside its policy. What the policy denies stays denied.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The ARN of who may use the key.
    pub grantee: String,
    /// The names of what he may do: `Decrypt` and so on.
    pub operations: Vec<String>,
}

impl Grant {
    fn allows(&self, principal: &str, operation: Operation) -> bool {
        self.grantee == principal && self.operations.iter().any(|name| name == operation.name())
    }
}

impl Key {
    /// The key that `KeyId` names: by its ARN, or by its id alone.
    pub fn named<'a>(keys: &'a [Self], key_id: &str) -> Result<&'a Self, Refusal> {
        keys.iter()
            .find(|key| key.master.arn() == key_id || key.id() == key_id)
            .ok_or_else(|| {
                let message = format!("Key '{key_id}' does not exist");
                Refusal::new("NotFoundException", message)
            })
    }

    /// The key that wrapped `blob`.
    pub fn of_ciphertext<'a>(keys: &'a [Self], blob: &[u8]) -> Result<&'a Self, Refusal> {
        keys.iter()
            .find(|key| key.master.is_named_in(blob))
            .ok_or_else(Refusal::ciphertext)
    }

    /// Whether a grant lets `principal` do `operation`.
    pub fn grants(&self, principal: &str, operation: Operation) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.allows(principal, operation))
    }

    /// Refuses use of a key that is disabled, or is to be destroyed.
    pub fn require_enabled(&self) -> Result<(), Refusal> {
        let arn = self.master.arn();
        match self.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(Refusal::new(
                "DisabledException",
                format!("{arn} is disabled."),
            )),
            KeyState::PendingDeletion => Err(Refusal::new(
                "KMSInvalidStateException",
                format!("{arn} is pending deletion."),
            )),
        }
    }

    /// What `DescribeKey` replies.
    pub fn describe(&self) -> Value {
        json!({"KeyMetadata": {
            "AWSAccountId": self.account(),
            "Arn": self.master.arn(),
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "Description": "simulated",
            "Enabled": self.state == KeyState::Enabled,
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "KeyId": self.id(),
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyState": self.state,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "MultiRegion": self.multi_region,
            "Origin": self.origin,
        }})
    }

    /// What `ListGrants` replies: a page of at most `limit`, from the grant that `marker` names.
    pub fn list_grants(&self, limit: usize, marker: Option<&str>) -> Result<Value, Refusal> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Refusal::validation("Limit must be 1 to 100."));
        }
        let first = marker.map_or(Some(0), |marker| marker.parse().ok());
        let rest = first.and_then(|first: usize| self.grants.get(first..));
        let (Some(first), Some(rest)) = (first, rest) else {
            return Err(Refusal::new("InvalidMarkerException", ""));
        };
        let page = &rest[..rest.len().min(limit)];
        let grants: Vec<Value> = (first..)
            .zip(page)
            .map(|(number, grant)| self.describe_grant(number, grant))
            .collect();
        let mut reply = json!({"Grants": grants, "Truncated": page.len() < rest.len()});
        if page.len() < rest.len() {
            reply["NextMarker"] = (first + page.len()).to_string().into();
        }
        Ok(reply)
    }

    fn describe_grant(&self, number: usize, grant: &Grant) -> Value {
        let arn = self.master.arn();
        let id = digest::digest(&digest::SHA256, format!("{arn} {number}").as_bytes());
        json!({
            "GrantId": hex::encode(id),
            "GranteePrincipal": grant.grantee,
            "IssuingAccount": format!("arn:aws:iam::{}:root", self.account()),
            "KeyId": arn,
            "Operations": grant.operations,
        })
    }

    fn id(&self) -> &str {
        self.master.arn().rsplit('/').next().unwrap_or_default()
    }

    fn account(&self) -> &str {
        self.master.arn().split(':').nth(4).unwrap_or_default()
    }
}
