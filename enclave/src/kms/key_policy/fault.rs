//! What unlocks a key policy, each with what to change.
use core::fmt;

/// Why a key policy is not locked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnlockedPolicy {
    /// Longer than KMS takes.
    #[error("the key policy is longer than KMS takes: put the output of `dauth kms-policy --lock`")]
    TooLong,
    /// No JSON object, or with a name that comes twice.
    #[error(
        "the key policy is no JSON object in which each name comes once: put the output of \
         `dauth kms-policy --lock`"
    )]
    Malformed,
    /// Not `Version`, `Id` and `Statement`.
    #[error(
        "the key policy does not consist of Version 2012-10-17, Id and Statement: put the output of \
         `dauth kms-policy --lock`"
    )]
    Document,
    /// A statement that unlocks it.
    #[error("statement {number} of the key policy unlocks the key: {fault}")]
    Statement {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        fault: StatementFault,
    },
}

/// Why a statement unlocks its policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// An element is unknown, missing, or of another shape.
    #[error("it has an element that is unknown, missing or malformed; remove it")]
    Element,
    /// `Effect` is neither.
    #[error("its Effect is neither Allow nor Deny; write one of them")]
    Effect,
    /// `NotAction`, `NotPrincipal` or `NotResource`.
    #[error(
        "it allows all but what it names (NotAction, NotPrincipal, NotResource); name what it allows"
    )]
    Inverted,
    /// Another resource.
    #[error("its Resource is another than this key; write \"*\"")]
    Resource,
    /// No AWS principal.
    #[error("its Principal is neither \"*\" nor {{\"AWS\": …}}; name an account, a role or a user")]
    Principal,
    /// Anyone may stop and destroy the key.
    #[error("it lets anyone look at, stop or destroy the key; name an account, a role or a user")]
    Anyone,
    /// An action with a wildcard.
    #[error("it allows actions by a wildcard; name each action")]
    Wildcard,
    /// An action that is not for a locked key.
    #[error("it allows {0}, which a locked key is not for; remove that action")]
    Action(ActionName),
    /// Use of the key without the two registers.
    #[error(
        "it allows use of the key without conditions on both kms:RecipientAttestation:ImageSha384 \
         and kms:RecipientAttestation:PCR16; add them"
    )]
    Unattested,
    /// A condition by another operator.
    #[error(
        "it allows use of the key under a condition other than StringEquals and \
         StringEqualsIgnoreCase; write one of them"
    )]
    Operator,
    /// A condition key comes twice, perhaps in another case.
    #[error("it has two conditions on the same key, letter case aside; remove one")]
    ConditionTwice,
    /// A register with more than one value.
    #[error(
        "it lists several values for a register, which combine freely with those of another; write \
         a statement for each image"
    )]
    SeveralValues,
    /// Not the value of a register.
    #[error("its condition on a register has no 96 hexadecimal digits; correct it")]
    Register,
    /// An image that this enclave does not know.
    #[error(
        "it lets another image, or another configuration, use the key than the running ones; remove it"
    )]
    UnknownImage,
}

/// The name of an action: letters, digits and `:`, at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionName(String);

impl ActionName {
    const MAX_BYTES: usize = 64;

    /// The name in `text`, where it is one.
    pub fn of(text: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b':';
        let is_name = !text.is_empty() && text.len() <= Self::MAX_BYTES && text.bytes().all(plain);
        Self(
            if is_name {
                text
            } else {
                "an action without a name"
            }
            .to_owned(),
        )
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
