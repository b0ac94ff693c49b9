//! From `certificate` through `cabundle` to a pinned root (RFC 5280 section 6.1).
//!
//! Two steps. [`Chain::read`] applies every rule that costs no signature, at the time given, each
//! time. [`Chain::verify`] is what a cache may spare: the path and its signatures.
use core::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha384};
use webpki::{EndEntityCert, KeyUsage};

use crate::{Error, Field, SignatureAlgorithms, anchors::Root, certificate::Certificate};

/// When a chain is judged.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) now_s: u64,
    /// How much later than `now_s` the signer's notBefore may be.
    pub(crate) leeway_s: u64,
}

/// The time in which something is valid, in Unix seconds: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from_s: u64,
    pub(crate) until_s: u64,
}

impl Validity {
    pub(crate) fn contains(self, now_s: u64) -> bool {
        (self.from_s..=self.until_s).contains(&now_s)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            from_s: self.from_s.max(other.from_s),
            until_s: self.until_s.min(other.until_s),
        }
    }
}

/// The SHA-384 of every certificate of a chain, in its order, without the bundled root.
pub(crate) type ChainId = [u8; 48];

/// Certificates that claim to be a chain, each of which may stand where it does and is valid at the
/// time given. Nobody has verified their signatures.
pub(crate) struct Chain<'a> {
    signer: CertificateDer<'a>,
    /// As in `cabundle`, without its root: that comes from the party that is to be verified.
    intermediates: Vec<CertificateDer<'a>>,
    /// When webpki is to judge the certificates.
    judged_s: u64,
    /// The issuer of the uppermost certificate: the name of the root.
    pub(crate) root_name: &'a [u8],
    /// The time in which all of them are valid.
    pub(crate) validity: Validity,
}

impl<'a> Chain<'a> {
    pub(crate) fn read(signer: &'a [u8], cabundle: &[&'a [u8]], at: At) -> Result<Self, Error> {
        let leaf = Certificate::parse(signer).ok_or(Error::NotACertificate(Field::Certificate))?;
        // notBefore of the signer alone gets leeway. webpki knows one time for all certificates, so
        // it is told notBefore where that is a little ahead; the others are held to both times here.
        let judged_s = at.now_s.max(leaf.not_before_s);
        check_validity(&leaf, Field::Certificate, judged_s)?;
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
        if leaf.is_ca {
            return Err(Error::LeafIsCa);
        }
        let mut chain = Self {
            signer: CertificateDer::from(signer),
            intermediates: Vec::with_capacity(cabundle.len()),
            judged_s,
            root_name: leaf.issuer,
            validity: leaf.validity(),
        };
        let mut names = vec![leaf.subject];
        for &der in cabundle.iter().skip(1).rev() {
            let issuer = Certificate::parse(der).ok_or(Error::NotACertificate(Field::Cabundle))?;
            check_validity(&issuer, Field::Cabundle, at.now_s)?;
            check_validity(&issuer, Field::Cabundle, judged_s)?;
            if !issuer.is_ca {
                return Err(Error::IssuerNotCa);
            }
            if !issuer.may_sign_certificates() {
                return Err(Error::NoKeyCertSign);
            }
            // Names that line up and never repeat leave webpki one path to try. Among certificates
            // of one name it would try them in every order, a signature each time.
            if issuer.subject != chain.root_name || names.contains(&issuer.subject) {
                return Err(Error::CabundleOrder);
            }
            if !issuer.allows_below(chain.intermediates.len()) {
                return Err(Error::PathLength);
            }
            names.push(issuer.subject);
            chain.root_name = issuer.issuer;
            chain.validity = chain.validity.and(issuer.validity());
            chain.intermediates.push(CertificateDer::from(der));
        }
        chain.intermediates.reverse();
        Ok(chain)
    }

    /// The certificate whose key signs documents. Its key is nobody's until the chain is verified.
    pub(crate) fn signer(&self) -> Result<EndEntityCert<'_>, Error> {
        EndEntityCert::try_from(&self.signer).map_err(|error| match error {
            webpki::Error::UnsupportedCriticalExtension => Error::CriticalExtension,
            _ => Error::NotACertificate(Field::Certificate),
        })
    }

    /// How many CA certificates there are between the root and the signer.
    pub(crate) fn intermediates(&self) -> usize {
        self.intermediates.len()
    }

    /// What no two chains have in common.
    pub(crate) fn id(&self) -> ChainId {
        let mut digest = Sha384::new();
        for der in self.intermediates.iter().chain([&self.signer]) {
            // With its length each certificate ends where it ends.
            digest.update((der.len() as u64).to_be_bytes());
            digest.update(der);
        }
        digest.finalize().into()
    }

    /// Verifies the signatures from one of these roots down to `signer`, which is that of this
    /// chain.
    pub(crate) fn verify<'r, 'k>(
        &self,
        signer: &EndEntityCert<'_>,
        roots: &'r [Root<'k>],
        algorithms: SignatureAlgorithms,
    ) -> Result<&'r Root<'k>, Error> {
        let keys: Vec<_> = roots.iter().map(|root| root.key.clone()).collect();
        let path = signer
            .verify_for_usage(
                &[algorithms.p384_sha384()],
                &keys,
                &self.intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(self.judged_s)),
                // No certificate here has an extended key usage; one for servers alone is refused.
                KeyUsage::client_auth(),
                // AWS: no revocation check; leaf certificates live three hours.
                None,
                None,
            )
            .map_err(rule_broken)?;
        // Every certificate of the bundle is one that was verified, and in its place.
        let verified = path.intermediate_certificates().map(|issuer| issuer.der());
        if !verified.eq(self.intermediates.iter().rev().cloned()) {
            return Err(Error::CabundleOrder);
        }
        roots
            .iter()
            .find(|root| root.key == path.anchor())
            .ok_or(Error::UnknownRoot)
    }
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
        webpki::Error::UnsupportedCriticalExtension => Error::CriticalExtension,
        webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
            Error::ExtendedKeyUsage
        }
        webpki::Error::SignatureAlgorithmMismatch
        | webpki::Error::UnsupportedSignatureAlgorithmContext(_)
        | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Error::CertificateAlgorithm
        }
        other => Error::Chain(other),
    }
}
