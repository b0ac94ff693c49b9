//! What appraisal yields.
use std::collections::BTreeMap;

use crate::{chain::VerifiedChain, document::Document};

/// Claims that an NSM has signed and a policy has accepted (RFC 9334 section 8.4).
///
/// Its fields are private and appraisal is the only constructor: who holds one holds the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    module_id: String,
    timestamp_ms: u64,
    pcrs: BTreeMap<u16, Vec<u8>>,
    user_data: Option<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    chain_valid_from_s: u64,
    chain_valid_until_s: u64,
}

impl AttestationResult {
    /// Of an accepted document: called where the checks have passed, and nowhere else.
    pub(crate) fn accepted(document: &Document<'_>, chain: &VerifiedChain<'_>) -> Self {
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
            chain_valid_from_s: chain.valid_from_s,
            chain_valid_until_s: chain.valid_until_s,
        }
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

    /// The first second in which the whole chain is valid, Unix time.
    pub fn chain_valid_from_s(&self) -> u64 {
        self.chain_valid_from_s
    }

    /// The last second in which the whole chain is valid, Unix time.
    pub fn chain_valid_until_s(&self) -> u64 {
        self.chain_valid_until_s
    }
}
