//! Who could open the keyset beside this enclave: asked of KMS at boot, where the configuration wants
//! a locked key.
//!
//! The policy is read before the grants: once it is locked, nobody can add one. KMS spreads changes
//! within minutes, so that what was changed just before may not show.
use core::fmt;

use dauth_protocol::deployment::{KeyPolicyRule, Predecessor};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    KmsClient, KmsError,
    connection::Holder,
    key_policy::{Custody, UnlockedPolicy},
};
use crate::trust::LockAuthority;

mod metadata;

use metadata::DescribeKeyReply;

/// Empty pages of grants that are turned before the rest counts as endless.
const MAX_GRANT_PAGES: u32 = 64;

/// Finds out whether `rule` holds for the client's key, and says which one was found to hold.
///
/// `image` is the running image and configuration: what alone may use a locked key. The keyset was
/// then made by it, under a key that it had found locked. Nothing is asked of KMS for
/// [`KeyPolicyRule::Unchecked`], nor where `authority` would not be what answers.
pub async fn check(
    client: &KmsClient,
    rule: KeyPolicyRule,
    image: &Predecessor,
    authority: LockAuthority,
) -> Result<KeyPolicyRule, CustodyError> {
    let holder = client.connection.endpoint().holder();
    match rule {
        KeyPolicyRule::Unchecked => {}
        KeyPolicyRule::Locked if authority == LockAuthority::Aws && holder != Holder::Aws => {
            return Err(CustodyError::Endpoint);
        }
        KeyPolicyRule::Locked => Key(client).require_locked(image).await?,
    }
    Ok(rule)
}

/// Why a key does not count as locked.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// Someone else than AWS may be what answers.
    #[error(
        "kms.endpoint is not a name that AWS alone has in the KMS key's region, so that nothing it \
         says of a lock counts: leave it out, or name the region's endpoint of FIPS 140 or of a VPC"
    )]
    Endpoint,
    /// KMS does not answer.
    #[error("the custody of the KMS key cannot be checked: {0}")]
    Kms(#[from] KmsError),
    /// The key policy does not let the role look.
    #[error(
        "the role may not do {0}, without which the custody of the KMS key cannot be checked: allow \
         it in the key policy"
    )]
    NotAllowed(Inspection),
    /// Not the reply of that operation.
    #[error("KMS's reply to {0} is malformed or too long: check kms.endpoint")]
    Malformed(Inspection),
    /// A reply about another key.
    #[error("KMS described another key than kms.key_arn: give the key's full ARN")]
    OtherKey,
    /// AWS's own key, whose policy is AWS's.
    #[error("the KMS key is managed by AWS: make one of your own")]
    NotCustomerManaged,
    /// Disabled, or to be deleted.
    #[error("the KMS key is not enabled: enable it, or cancel its deletion")]
    NotEnabled,
    /// Another kind of key.
    #[error("the KMS key is not for symmetric encryption: make one of SYMMETRIC_DEFAULT")]
    NotSymmetric,
    /// Someone outside KMS may know the key.
    #[error(
        "the KMS key's material comes from outside KMS, where others may have it: make a key of \
         Origin AWS_KMS"
    )]
    ForeignMaterial,
    /// A replica would have a policy of its own.
    #[error(
        "the KMS key is a multi-Region key, and each of its replicas has a policy of its own: make a \
         single-Region key"
    )]
    MultiRegion,
    /// The policy leaves someone else a way.
    #[error(transparent)]
    Policy(#[from] UnlockedPolicy),
    /// A grant leaves someone else a way.
    #[error(
        "the KMS key has a grant, which lets someone use it beside its policy: revoke it before the \
         key is locked, or make a new key"
    )]
    Grant,
    /// KMS goes on saying that there are more.
    #[error("KMS does not come to the end of the KMS key's grants; try again")]
    EndlessGrants,
}

/// What is asked of KMS about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// What the key is.
    DescribeKey,
    /// Its policy.
    GetKeyPolicy,
    /// Its grants.
    ListGrants,
}

impl Inspection {
    fn target(self) -> &'static str {
        match self {
            Self::DescribeKey => "TrentService.DescribeKey",
            Self::GetKeyPolicy => "TrentService.GetKeyPolicy",
            Self::ListGrants => "TrentService.ListGrants",
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DescribeKey => "kms:DescribeKey",
            Self::GetKeyPolicy => "kms:GetKeyPolicy",
            Self::ListGrants => "kms:ListGrants",
        })
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyReply {
    policy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GrantsReply {
    grants: Vec<IgnoredAny>,
    #[serde(default)]
    truncated: bool,
    next_marker: Option<String>,
}

struct Key<'a>(&'a KmsClient);

impl Key<'_> {
    fn arn(&self) -> &str {
        &self.0.kms.key_arn
    }

    async fn require_locked(&self, image: &Predecessor) -> Result<(), CustodyError> {
        let question = || Question {
            key_id: self.arn(),
            ..Question::default()
        };
        let described: DescribeKeyReply = self.ask(Inspection::DescribeKey, question()).await?;
        described.require_lockable(self.arn())?;
        // The only name there is.
        let question = Question {
            policy_name: Some("default"),
            ..question()
        };
        let reply: PolicyReply = self.ask(Inspection::GetKeyPolicy, question).await?;
        let custody = Custody {
            key_arn: self.arn(),
            images: std::slice::from_ref(image),
        };
        custody.require_locked(&reply.policy)?;
        self.require_no_grant().await
    }

    /// KMS may return empty pages before others.
    async fn require_no_grant(&self) -> Result<(), CustodyError> {
        let mut marker = None;
        for _ in 0..MAX_GRANT_PAGES {
            let question = Question {
                key_id: self.arn(),
                limit: Some(1),
                marker,
                ..Question::default()
            };
            let page: GrantsReply = self.ask(Inspection::ListGrants, question).await?;
            if !page.grants.is_empty() {
                return Err(CustodyError::Grant);
            }
            marker = match (page.truncated, page.next_marker) {
                (false, None) => return Ok(()),
                (true, Some(marker)) => Some(marker),
                _ => return Err(CustodyError::Malformed(Inspection::ListGrants)),
            };
        }
        Err(CustodyError::EndlessGrants)
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        inspection: Inspection,
        question: Question<'_>,
    ) -> Result<T, CustodyError> {
        let malformed = || CustodyError::Malformed(inspection);
        // Strings and numbers always serialize.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let client = self.0;
        let exchange = || client.exchange(inspection.target(), &body);
        match client.backoff.run(exchange).await {
            Ok(Some(reply)) => serde_json::from_slice(&reply).map_err(|_| malformed()),
            Ok(None) => Err(malformed()),
            Err(KmsError::AccessDenied) => Err(CustodyError::NotAllowed(inspection)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
