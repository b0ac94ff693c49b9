//! What appraisal yields.
use std::collections::BTreeMap;

use crate::{chain::Validity, document::Document, policy::zero_boot_register};

/// The length of a SHA-384.
const DIGEST_BYTES: usize = 48;

/// Claims that an NSM has signed and a policy has accepted (RFC 9334 section 8.4).
///
/// Its fields are private and appraisal is the only constructor: who holds one holds the proof.
///
/// Ask it what it endorses rather than compare fields:
///
/// ```
/// use dauth_attestation::AttestationResult;
///
/// fn may_seal_to(enclave: &AttestationResult, key: &[u8]) -> bool {
///     !enclave.debug_mode() && enclave.endorses_public_key(key)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    module_id: String,
    timestamp_ms: u64,
    pcrs: BTreeMap<u16, Vec<u8>>,
    user_data: Option<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    chain: Validity,
    release: Option<usize>,
    debug_mode: bool,
}

impl AttestationResult {
    /// Of an accepted document: called where the checks have passed, and nowhere else.
    pub(crate) fn accepted(
        document: &Document<'_>,
        chain: Validity,
        release: Option<usize>,
    ) -> Self {
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        Self {
            module_id: document.module_id.to_owned(),
            timestamp_ms: document.timestamp_ms,
            pcrs: (0..)
                .zip(document.pcrs)
                .filter_map(|(index, value)| Some((index, value?.to_vec())))
                .collect(),
            user_data: owned(document.user_data),
            public_key: owned(document.public_key),
            nonce: owned(document.nonce),
            chain,
            release,
            debug_mode: zero_boot_register(&document.pcrs).is_some(),
        }
    }

    /// Which of the releases of [`Images::AnyOf`](crate::Images) this is, by its place in the list;
    /// `None` where the policy accepted any image.
    pub fn release(&self) -> Option<usize> {
        self.release
    }

    /// Whether the enclave runs in debug mode. Only a policy that allows it yields such a result.
    pub fn debug_mode(&self) -> bool {
        self.debug_mode
    }

    /// Whether the enclave put these bytes into the document as its public key. No key is endorsed
    /// by a document without one.
    pub fn endorses_public_key(&self, key: &[u8]) -> bool {
        self.public_key() == Some(key)
    }

    /// Whether the enclave put these bytes into the document as its user data. Nothing is endorsed
    /// by a document without any.
    pub fn endorses_user_data(&self, user_data: &[u8]) -> bool {
        self.user_data() == Some(user_data)
    }

    /// The SHA-384 that follows this purpose tag in the user data; `None` when the document is for
    /// another purpose, or anything else follows the tag.
    pub fn purpose_digest(&self, tag: &[u8]) -> Option<&[u8]> {
        self.user_data()?
            .strip_prefix(tag)
            .filter(|digest| !tag.is_empty() && digest.len() == DIGEST_BYTES)
    }

    /// The id of the NSM that signed: instance and enclave.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the document was made, in Unix milliseconds.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// The algorithm of the PCRs: always `SHA384`.
    pub fn digest(&self) -> &'static str {
        "SHA384"
    }

    /// The value of a PCR; `None` where it was not locked.
    pub fn pcr(&self, index: u16) -> Option<&[u8]> {
        self.pcrs.get(&index).map(Vec::as_slice)
    }

    /// The locked PCRs, in order.
    pub fn pcrs(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.pcrs
            .iter()
            .map(|(&index, value)| (index, value.as_slice()))
    }

    /// Data of the enclave's choice; `None` when empty.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// A public key of the enclave's choice; `None` when empty.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// The nonce; `None` when empty.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The first second in which the whole chain is valid, its root included, Unix time.
    pub fn chain_valid_from_s(&self) -> u64 {
        self.chain.from_s
    }

    /// The last second in which the whole chain is valid, its root included, Unix time.
    pub fn chain_valid_until_s(&self) -> u64 {
        self.chain.until_s
    }
}
