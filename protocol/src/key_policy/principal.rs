//! Names of AWS principals, as a key policy takes them: no wildcards, no sessions.
use core::{fmt, str::FromStr};

/// Longer than any path (512) and name (64) with what stands before them.
const MAX_ARN_BYTES: usize = 640;

/// An AWS account: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountId(String);

impl FromStr for AccountId {
    type Err = InvalidAccount;

    fn from_str(text: &str) -> Result<Self, InvalidAccount> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && text.len() == 12 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAccount)
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an AWS account: expected 12 digits")]
pub struct InvalidAccount;

/// An account's root, a role, or a user: `arn:aws:iam::<account>:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalArn {
    partition: String,
    account: AccountId,
    resource: Resource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Root,
    Role(String),
    User(String),
}

impl PrincipalArn {
    /// The account that it belongs to.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Whether it stands for the account: whoever its IAM lets act.
    pub fn is_root(&self) -> bool {
        self.resource == Resource::Root
    }

    /// The root of this principal's account.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            resource: Resource::Root,
            ..self.clone()
        }
    }
}

impl FromStr for PrincipalArn {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        if text.len() > MAX_ARN_BYTES {
            return Err(InvalidPrincipal::Malformed);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts.as_slice() else {
            return Err(InvalidPrincipal::Malformed);
        };
        if *service == "sts" {
            return Err(InvalidPrincipal::Session);
        }
        let partition_is_well_formed = partition.starts_with("aws")
            && partition
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if *service != "iam" || !partition_is_well_formed {
            return Err(InvalidPrincipal::Malformed);
        }
        let account = account.parse().map_err(InvalidPrincipal::Account)?;
        let resource = match resource.split_once('/') {
            None if *resource == "root" => Resource::Root,
            Some(("role", name)) => Resource::Role(path_and_name(name)?),
            Some(("user", name)) => Resource::User(path_and_name(name)?),
            _ => return Err(InvalidPrincipal::Malformed),
        };
        Ok(Self {
            partition: (*partition).to_owned(),
            account,
            resource,
        })
    }
}

/// What IAM allows in names, with `/` between the parts of a path. No wildcard is among it.
fn path_and_name(text: &str) -> Result<String, InvalidPrincipal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    let well_formed = text
        .split('/')
        .all(|part| !part.is_empty() && part.bytes().all(allowed));
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(InvalidPrincipal::Malformed)
    }
}

impl fmt::Display for PrincipalArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition, account, ..
        } = self;
        write!(f, "arn:{partition}:iam::{account}:")?;
        match &self.resource {
            Resource::Root => f.write_str("root"),
            Resource::Role(name) => write!(f, "role/{name}"),
            Resource::User(name) => write!(f, "user/{name}"),
        }
    }
}

/// A role: `arn:aws:iam::<account>:role/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn(PrincipalArn);

impl RoleArn {
    /// The role as a principal.
    pub fn as_principal(&self) -> &PrincipalArn {
        &self.0
    }
}

impl FromStr for RoleArn {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        let principal: PrincipalArn = text.parse()?;
        match principal.resource {
            Resource::Role(_) => Ok(Self(principal)),
            Resource::Root | Resource::User(_) => Err(InvalidPrincipal::NoRole),
        }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text names no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrincipal {
    /// Of another form.
    #[error(
        "not the ARN of a principal: expected arn:aws:iam::<account>: and then role/<name>, \
         user/<name> or root, without wildcards"
    )]
    Malformed,
    /// A session of a role.
    #[error(
        "this ARN is of a session and ends with it: give the role's own, \
         arn:aws:iam::<account>:role/<name>"
    )]
    Session,
    /// Its account is malformed.
    #[error("{0}")]
    Account(InvalidAccount),
    /// A user or an account, where a role was wanted.
    #[error("not a role: expected arn:aws:iam::<account>:role/<name>")]
    NoRole,
}
