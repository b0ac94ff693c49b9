//! From `certificate` through `cabundle` to a pinned root (RFC 5280 section 6.1).
use core::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::{Error, Field, SignatureAlgorithms, TrustAnchors, certificate::Certificate};

/// Proof that a chain holds, and its signer.
pub(crate) struct VerifiedChain<'a> {
    signer: EndEntityCert<'a>,
    algorithms: SignatureAlgorithms,
    /// The time in which all certificates of the chain are valid, in Unix seconds.
    pub(crate) valid_from_s: u64,
    pub(crate) valid_until_s: u64,
}

impl VerifiedChain<'_> {
    /// Verifies a signature by the key at the end of the chain.
    pub(crate) fn verify(&self, message: &[u8], signature_der: &[u8]) -> Result<(), Error> {
        self.signer
            .verify_signature(self.algorithms.p384_sha384(), message, signature_der)
            .map_err(|_| Error::DocumentSignature)
    }
}

/// When a chain is judged.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) now_s: u64,
    /// How much later than `now_s` the signer's notBefore may be.
    pub(crate) leeway_s: u64,
}

/// Verifies the chain of `signer` over `cabundle`, the root first. The bundled root is ignored.
pub(crate) fn verify<'a>(
    signer: &'a CertificateDer<'a>,
    cabundle: &[&'a [u8]],
    anchors: &TrustAnchors,
    algorithms: SignatureAlgorithms,
    at: At,
) -> Result<VerifiedChain<'a>, Error> {
    let intermediates: Vec<CertificateDer<'a>> = cabundle
        .iter()
        .skip(1)
        .map(|&der| CertificateDer::from(der))
        .collect();

    let leaf = Certificate::parse(signer).ok_or(Error::NotACertificate(Field::Certificate))?;
    // notBefore of the signer alone gets leeway. webpki knows one time for all certificates, so it
    // is told notBefore where that is a little ahead; the others are held to the true time here.
    check_validity(&leaf, Field::Certificate, at.now_s.max(leaf.not_before_s))?;
    if leaf.not_before_s > at.now_s.saturating_add(at.leeway_s) {
        return Err(Error::NotYetValid {
            field: Field::Certificate,
            not_before_s: leaf.not_before_s,
        });
    }
    if !leaf.may_sign_data() {
        return Err(Error::NoDigitalSignature);
    }
    if leaf.path_length.is_some() {
        return Err(Error::LeafPathLength);
    }
    let (mut valid_from_s, mut valid_until_s) = (leaf.not_before_s, leaf.not_after_s);
    let mut below = vec![leaf];
    for der in intermediates.iter().rev() {
        let issuer = Certificate::parse(der).ok_or(Error::NotACertificate(Field::Cabundle))?;
        check_validity(&issuer, Field::Cabundle, at.now_s)?;
        if !issuer.may_sign_certificates() {
            return Err(Error::NoKeyCertSign);
        }
        // Names that line up and never repeat leave webpki one path to try. Among certificates of
        // one name it would try them in every order, a signature each time.
        let lines_up = below
            .last()
            .is_some_and(|last| last.issuer == issuer.subject);
        if !lines_up || below.iter().any(|lower| lower.subject == issuer.subject) {
            return Err(Error::CabundleOrder);
        }
        valid_from_s = valid_from_s.max(issuer.not_before_s);
        valid_until_s = valid_until_s.min(issuer.not_after_s);
        below.push(issuer);
    }

    let anchors = anchors.usable(at.now_s, intermediates.len())?;
    let time = Duration::from_secs(at.now_s.max(leaf.not_before_s));
    let end_entity =
        EndEntityCert::try_from(signer).map_err(|_| Error::NotACertificate(Field::Certificate))?;
    let path = end_entity
        .verify_for_usage(
            &[algorithms.p384_sha384()],
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(time),
            // No certificate here has an extended key usage; one for servers alone is refused.
            KeyUsage::client_auth(),
            // AWS: no revocation check; leaf certificates live three hours.
            None,
            None,
        )
        .map_err(rule_broken)?;
    // Every certificate of the bundle is one that was verified, and in its place.
    let verified = path.intermediate_certificates().map(|issuer| issuer.der());
    if !verified.eq(intermediates.iter().rev().cloned()) {
        return Err(Error::CabundleOrder);
    }
    drop(path);
    Ok(VerifiedChain {
        signer: end_entity,
        algorithms,
        valid_from_s,
        valid_until_s,
    })
}

fn check_validity(certificate: &Certificate<'_>, field: Field, now_s: u64) -> Result<(), Error> {
    if now_s < certificate.not_before_s {
        return Err(Error::NotYetValid {
            field,
            not_before_s: certificate.not_before_s,
        });
    }
    if now_s > certificate.not_after_s {
        return Err(Error::Expired {
            field,
            not_after_s: certificate.not_after_s,
        });
    }
    Ok(())
}

fn rule_broken(error: webpki::Error) -> Error {
    match error {
        webpki::Error::UnknownIssuer => Error::UnknownRoot,
        webpki::Error::InvalidSignatureForPublicKey => Error::CertificateSignature,
        webpki::Error::EndEntityUsedAsCa => Error::IssuerNotCa,
        webpki::Error::CaUsedAsEndEntity => Error::LeafIsCa,
        webpki::Error::PathLenConstraintViolated => Error::PathLength,
        other => Error::Chain(other),
    }
}
