//! A refusal, as it travels inside the enclave.
use dauth_protocol::Code;

/// A refusal: its code, and what the caller may be told beside it.
///
/// The detail is a constant of this program: nothing of a peer, a library or a secret can be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller acts on.
    pub code: Code,
    /// One sentence, without a full stop at its end.
    pub detail: &'static str,
}

impl Refusal {
    /// A refusal with its detail.
    pub const fn new(code: Code, detail: &'static str) -> Self {
        Self { code, detail }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}
