//! What is said of each file, for whoever tests a verifier with them.
use std::collections::BTreeMap;

use serde::Serialize;

/// `manifest.json`.
#[derive(Serialize)]
pub(crate) struct Manifest {
    pub(crate) about: &'static str,
    pub(crate) vectors: Vec<Entry>,
}

#[derive(Serialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    /// The rule that the file shows.
    pub(crate) shows: &'static str,
    /// The file of the one trust anchor.
    pub(crate) root: &'static str,
    /// The time to judge at, Unix milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) policy: Policy,
    #[serde(flatten)]
    pub(crate) expected: Expected,
}

/// What the relying party requires. `null` means that anything will do.
#[derive(Clone, Serialize)]
pub(crate) struct Policy {
    /// Hexadecimal.
    pub(crate) nonce: Option<String>,
    pub(crate) user_data: Option<UserData>,
    /// Any one of these sets of PCRs, in hexadecimal.
    pub(crate) images: Option<Vec<BTreeMap<u16, String>>>,
    pub(crate) max_age_s: Option<u64>,
    /// For notBefore of the signing certificate, and for a timestamp in the future.
    pub(crate) leeway_s: u64,
    pub(crate) debug_mode: DebugMode,
}

/// Hexadecimal.
#[derive(Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserData {
    Equals(String),
    /// It begins with this.
    Tagged(String),
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DebugMode {
    Refuse,
    Allow,
}

#[derive(Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Expected {
    Accept {
        claims: Claims,
    },
    /// The variant of `dauth_attestation::Error`.
    Reject {
        error: &'static str,
    },
}

/// What an accepted document says. Optional fields that are null, absent or empty are `null`.
#[derive(Serialize)]
pub(crate) struct Claims {
    pub(crate) module_id: String,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: BTreeMap<u64, String>,
    pub(crate) public_key: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) nonce: Option<String>,
    /// The time in which every certificate is valid, Unix seconds.
    pub(crate) chain_valid_from_s: u64,
    pub(crate) chain_valid_until_s: u64,
}
