//! The policy of the KMS key that guards keysets: who may use it, from which images, and who may
//! change that.
//!
//! One generator for what an operator gives KMS and for what the simulated KMS enforces. The rules:
//! the role may use the key from a named image under a named configuration, with an attestation
//! document, and in no other way; nobody may wrap a key that he knows, or take the key elsewhere;
//! and, when the policy is locked, nobody may change any of it.
mod image;
mod principal;

use std::collections::BTreeMap;

use serde::Serialize;

pub use image::{AttestedImage, InvalidImage};
pub use principal::{AccountId, InvalidAccount, InvalidPrincipal, PrincipalArn, RoleArn};

/// KMS takes no longer policy.
pub const MAX_POLICY_BYTES: usize = 32_768;

/// What an enclave does with the key, and what alone is allowed to it. Both honour `Recipient`.
pub const ATTESTED_ACTIONS: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

/// What an enclave asks at boot, to know whether the policy is locked.
pub const INSPECTION_ACTIONS: [&str; 3] = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants"];

/// What is denied to all, attested or not.
pub const NEVER_ACTIONS: [&str; 11] = [
    // `Recipient` does not apply to these: the caller knows the plaintext that he wraps.
    "kms:Encrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    // A grant gives use of the key beside the policy.
    "kms:CreateGrant",
    // A replica has a policy of its own, and imported material is known to who imported it.
    "kms:ReplicateKey",
    "kms:UpdatePrimaryRegion",
    "kms:ImportKeyMaterial",
    // Of no use to an enclave. A wrapped key that no document was shown for would still be opened
    // for an attested image alone.
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:DeriveSharedSecret",
];

/// What the holder of a locked key may still do: look at it, take use of it away, destroy it.
pub const LIFECYCLE_ACTIONS: [&str; 11] = [
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    // A grant that was made before the lock.
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
];

/// What an administrator may do besides, while the policy is not locked.
pub const ADMINISTRATION_ACTIONS: [&str; 11] = [
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DisableKeyRotation",
    "kms:EnableKeyRotation",
    "kms:ListKeyRotations",
    CHANGE_OF_POLICY,
    "kms:RotateKeyOnDemand",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];

/// Who may do this decides about all the rest.
const CHANGE_OF_POLICY: &str = "kms:PutKeyPolicy";

/// A key policy.
///
/// ```
/// use dauth_protocol::{key_policy::{Administration, AttestedImage, KeyPolicy}, measurement::Pcr};
/// let pcr = |byte| Pcr::from([byte; 48]);
/// let policy = KeyPolicy {
///     role: "arn:aws:iam::123456789012:role/parent".parse().unwrap(),
///     images: vec![AttestedImage::new([(0, pcr(1)), (16, pcr(2))]).unwrap()],
///     administration: Administration::Locked("arn:aws:iam::123456789012:root".parse().unwrap()),
/// };
/// assert!(policy.to_json().contains("kms:RecipientAttestation:PCR16"));
/// ```
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    /// The role of the instances that run the images. The key is in its account.
    pub role: RoleArn,
    /// The images that may use the key.
    pub images: Vec<AttestedImage>,
    /// Who may change the policy. Nobody of another account can.
    pub administration: Administration,
}

/// Who may change a key policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Administration {
    /// This principal, or whom its account's IAM lets, when it is the account's root.
    By(PrincipalArn),
    /// Nobody, ever. This principal may still look at the key, disable it and delete it.
    Locked(PrincipalArn),
}

impl KeyPolicy {
    /// The JSON document, the same bytes for the same policy.
    pub fn to_json(&self) -> String {
        // Maps of strings and strings: nothing that JSON lacks.
        serde_json::to_string_pretty(&self.document()).unwrap_or_default()
    }

    fn document(&self) -> Document {
        // One statement for each image: the values of one condition would combine freely.
        let images = self.images.iter().enumerate().map(|(number, image)| {
            let condition = ("StringEqualsIgnoreCase", image.conditions());
            Statement {
                condition: BTreeMap::from([condition]),
                ..Statement::allow(
                    format!("AttestedImage{number}"),
                    self.role.as_principal(),
                    &ATTESTED_ACTIONS,
                )
            }
        });
        let inspection = Statement::allow(
            "EnclavesReadThisPolicy",
            self.role.as_principal(),
            &INSPECTION_ACTIONS,
        );
        let unattested = (
            "Null",
            BTreeMap::from([(image::IMAGE.to_owned(), "true".to_owned())]),
        );
        let denials = [
            Statement {
                condition: BTreeMap::from([unattested]),
                ..Statement::deny("NoUseWithoutAttestation", &ATTESTED_ACTIONS)
            },
            Statement::deny("NoKeysOfOthers", &NEVER_ACTIONS),
        ];
        Document {
            version: "2012-10-17",
            id: "dauth-keyset",
            statement: images
                .chain([inspection])
                .chain(denials)
                .chain(self.administration.statements())
                .collect(),
        }
    }
}

impl Administration {
    fn statements(&self) -> Vec<Statement> {
        match self {
            Self::By(administrator) => {
                let actions = [&LIFECYCLE_ACTIONS[..], &ADMINISTRATION_ACTIONS].concat();
                vec![Statement::allow("Administration", administrator, &actions)]
            }
            Self::Locked(holder) => vec![
                Statement::deny("LockedForEver", &[CHANGE_OF_POLICY]),
                Statement::allow("LookStopDestroy", holder, &LIFECYCLE_ACTIONS),
            ],
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: &'static str,
    id: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: Effect,
    principal: Principal,
    action: Vec<&'static str>,
    /// In a key policy, `*` is the key that the policy belongs to.
    resource: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<String, String>>,
}

#[derive(Serialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Serialize)]
enum Principal {
    #[serde(rename = "AWS")]
    Aws(String),
    #[serde(untagged)]
    Anyone(&'static str),
}

impl Statement {
    fn allow(sid: impl Into<String>, principal: &PrincipalArn, actions: &[&'static str]) -> Self {
        Self {
            sid: sid.into(),
            effect: Effect::Allow,
            principal: Principal::Aws(principal.to_string()),
            action: actions.to_vec(),
            resource: "*",
            condition: BTreeMap::new(),
        }
    }

    fn deny(sid: &str, actions: &[&'static str]) -> Self {
        Self {
            sid: sid.to_owned(),
            effect: Effect::Deny,
            principal: Principal::Anyone("*"),
            action: actions.to_vec(),
            resource: "*",
            condition: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
