//! What an attestation document was asked for.

/// The purpose of an attestation document: the first bytes of its `user_data`.
///
/// A document made for one purpose proves nothing for another: each verifier requires its own tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Evidence for a client: the SHA-384 of the key configuration follows.
    Evidence,
    /// `Recipient` of a KMS request: the SHA-384 of the deployment configuration follows.
    KmsRecipient,
    /// Birth of a keyset: the SHA-384 of keyset id, generation and public keys follows.
    KeysetBirth,
    /// The NSM's own time: nothing follows.
    Time,
}

impl Purpose {
    /// The tag.
    pub const fn tag(self) -> &'static [u8] {
        match self {
            Purpose::Evidence => b"dauth-evidence-v1:",
            Purpose::KmsRecipient => b"dauth-kms-recipient-v1:",
            Purpose::KeysetBirth => b"dauth-keyset-birth-v1:",
            Purpose::Time => b"dauth-time-v1:",
        }
    }

    /// The `user_data` that binds `digest` for this purpose.
    pub fn user_data(self, digest: &[u8]) -> Vec<u8> {
        [self.tag(), digest].concat()
    }

    /// The digest in a `user_data` of this purpose.
    pub fn digest_of(self, user_data: &[u8]) -> Option<&[u8]> {
        user_data.strip_prefix(self.tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_is_a_prefix_of_another() {
        let all = [
            Purpose::Evidence,
            Purpose::KmsRecipient,
            Purpose::KeysetBirth,
            Purpose::Time,
        ];
        for one in all {
            for other in all {
                assert_eq!(
                    one.digest_of(&other.user_data(b"x")).is_some(),
                    one == other
                );
            }
        }
    }
}
