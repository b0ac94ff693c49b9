//! The verifier (RFC 9334 section 5): the checks, in their order.
use rustls_pki_types::CertificateDer;

use crate::{
    AttestationResult, Error, MAX_DOCUMENT_BYTES, Policy, SignatureAlgorithms, TrustAnchors,
    chain::{self, At},
    cose::CoseSign1,
    document::Document,
};

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
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::TooLong(document.len()));
    }
    let message = CoseSign1::parse(document)?;
    let document = Document::parse(message.payload)?;
    let at = At {
        now_s: appraisal.now_ms / 1000,
        leeway_s: appraisal.policy.leeway.as_secs(),
    };
    let signer = CertificateDer::from(document.certificate);
    let chain = chain::verify(
        &signer,
        &document.cabundle,
        appraisal.anchors,
        algorithms,
        at,
    )?;
    chain.verify(&message.to_be_signed(), &message.signature_der())?;
    appraisal.policy.check(&document, appraisal.now_ms)?;
    Ok(AttestationResult::accepted(&document, &chain))
}
