//! The operations of KMS that are simulated.

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A new data key.
    GenerateDataKey,
    /// The plaintext of a `CiphertextBlob`.
    Decrypt,
    /// A `CiphertextBlob` of a plaintext that the caller knows. There is no `Recipient` for it.
    Encrypt,
    /// What a key is.
    DescribeKey,
    /// A key's policy.
    GetKeyPolicy,
    /// A key's grants.
    ListGrants,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::GenerateDataKey,
        Self::Decrypt,
        Self::Encrypt,
        Self::DescribeKey,
        Self::GetKeyPolicy,
        Self::ListGrants,
    ];

    /// Its name in `X-Amz-Target`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Decrypt => "Decrypt",
            Self::Encrypt => "Encrypt",
            Self::DescribeKey => "DescribeKey",
            Self::GetKeyPolicy => "GetKeyPolicy",
            Self::ListGrants => "ListGrants",
        }
    }

    /// The operation that `X-Amz-Target` names.
    pub fn of_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("TrentService.")?;
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    /// Whether a reply can go to a recipient alone.
    pub fn takes_recipient(self) -> bool {
        matches!(self, Self::GenerateDataKey | Self::Decrypt)
    }
}
