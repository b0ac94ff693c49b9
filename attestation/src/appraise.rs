//! One document, judged by itself.
use crate::{AttestationResult, Error, Policy, SignatureAlgorithms, TrustAnchors, verifier::Judge};

/// Everything that evidence is judged by, time included.
#[derive(Clone, Copy, Debug)]
pub struct Appraisal<'a> {
    /// The roots.
    pub anchors: &'a TrustAnchors,
    /// The requirements.
    pub policy: &'a Policy,
    /// The time to judge at, in Unix milliseconds.
    pub now_ms: u64,
}

/// Appraises a document with the signature algorithms of aws-lc-rs.
///
/// Each call verifies the whole chain. A [`Verifier`](crate::Verifier) can remember chains.
#[cfg(feature = "aws-lc-rs")]
pub fn appraise(document: &[u8], appraisal: &Appraisal<'_>) -> Result<AttestationResult, Error> {
    appraise_with(SignatureAlgorithms::aws_lc_rs(), document, appraisal)
}

/// Appraises a document with the signature algorithms given.
pub fn appraise_with(
    algorithms: SignatureAlgorithms,
    document: &[u8],
    appraisal: &Appraisal<'_>,
) -> Result<AttestationResult, Error> {
    let judge = Judge {
        anchors: appraisal.anchors,
        algorithms,
        cache: None,
    };
    judge.appraise(document, appraisal.policy, appraisal.now_ms)
}
