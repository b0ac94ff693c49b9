//! The certificates that a chain may end in.
use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};

use crate::{
    Error,
    certificate::Certificate,
    chain::{At, Chain, Validity},
};

/// "AWS Nitro Enclaves Root-G1"; SHA-256 of its DER: see the test below.
const AWS_NITRO_ROOT_PEM: &str = include_str!("aws-nitro-enclaves-root-g1.pem");

/// The roots that a relying party pins.
///
/// The root in a document is never one of them: it comes from the party that is to be verified.
///
/// ```
/// use dauth_attestation::{AnchorError, TrustAnchors};
///
/// let of_aws = TrustAnchors::aws_nitro();
/// let of_a_test = TrustAnchors::from_pem("no certificate");
/// assert_eq!(of_a_test.err(), Some(AnchorError::NotPem));
/// ```
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    anchors: Vec<Anchor>,
}

#[derive(Clone, Debug)]
struct Anchor {
    key: TrustAnchor<'static>,
    validity: Validity,
    path_length: Option<u64>,
}

/// An anchor in which a chain may end.
#[derive(Debug)]
pub(crate) struct Root<'a> {
    pub(crate) index: AnchorIndex,
    /// Its name and key.
    pub(crate) key: &'a TrustAnchor<'static>,
    pub(crate) validity: Validity,
}

/// Which of the anchors of a [`TrustAnchors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnchorIndex(pub(crate) usize);

/// Why something is no trust anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The text is not PEM, or holds no certificate.
    #[error("no PEM certificate found (RFC 7468 section 5)")]
    NotPem,
    /// The bytes are not one X.509 certificate.
    #[error("not an X.509 version 3 certificate in DER (RFC 5280 section 4.1)")]
    NotACertificate,
    /// The certificate may not issue others.
    #[error("not a CA certificate with keyCertSign (RFC 5280 sections 4.2.1.3 and 4.2.1.9)")]
    NotAnAuthority,
}

impl TrustAnchors {
    /// The root of AWS Nitro Enclaves, which is built in.
    pub fn aws_nitro() -> Self {
        // A test checks that the built-in text parses. Were it not to, nothing would be trusted.
        Self::from_pem(AWS_NITRO_ROOT_PEM).unwrap_or(Self {
            anchors: Vec::new(),
        })
    }

    /// Every certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, AnchorError> {
        let anchors = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|certificate| Anchor::new(&certificate.map_err(|_| AnchorError::NotPem)?))
            .collect::<Result<Vec<_>, _>>()?;
        if anchors.is_empty() {
            return Err(AnchorError::NotPem);
        }
        Ok(Self { anchors })
    }

    /// One certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, AnchorError> {
        let anchor = Anchor::new(&CertificateDer::from(der))?;
        Ok(Self {
            anchors: vec![anchor],
        })
    }

    /// The anchors that bear the name of the chain's root, are themselves valid at the time given
    /// and allow as many certificates below them. webpki takes all that for granted.
    pub(crate) fn roots_of(&self, chain: &Chain<'_>, at: At) -> Result<Vec<Root<'_>>, Error> {
        let mut refusal = Error::UnknownRoot;
        let mut roots = Vec::new();
        for (index, anchor) in (0..).map(AnchorIndex).zip(&self.anchors) {
            if anchor.key.subject.as_ref() != chain.root_name {
                continue;
            }
            if !anchor.validity.contains(at.now_s) {
                refusal = Error::NoValidAnchor;
            } else if !anchor.allows_below(chain.intermediates()) {
                refusal = Error::PathLength;
            } else {
                roots.push(Root {
                    index,
                    key: &anchor.key,
                    validity: anchor.validity,
                });
            }
        }
        if roots.is_empty() {
            return Err(refusal);
        }
        Ok(roots)
    }
}

impl Anchor {
    fn new(der: &CertificateDer<'_>) -> Result<Self, AnchorError> {
        let key = webpki::anchor_from_trusted_cert(der)
            .map_err(|_| AnchorError::NotACertificate)?
            .to_owned();
        let certificate = Certificate::parse(der).ok_or(AnchorError::NotACertificate)?;
        if !certificate.is_ca || !certificate.may_sign_certificates() {
            return Err(AnchorError::NotAnAuthority);
        }
        Ok(Self {
            key,
            validity: certificate.validity(),
            path_length: certificate.path_length,
        })
    }

    fn allows_below(&self, authorities: usize) -> bool {
        self.path_length.is_none_or(|max| authorities as u64 <= max)
    }
}

#[cfg(test)]
pub(crate) fn aws_root_der() -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(AWS_NITRO_ROOT_PEM.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_built_in_root_is_the_one_that_aws_publishes() {
        assert_eq!(TrustAnchors::aws_nitro().anchors.len(), 1);
        let digest: String = Sha256::digest(aws_root_der().expect("PEM"))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            digest,
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
    }

    #[test]
    fn what_is_no_authority_is_no_anchor() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("key");
        let leaf = rcgen::CertificateParams::default()
            .self_signed(&key)
            .expect("certificate");
        assert_eq!(
            TrustAnchors::from_der(leaf.der()).err(),
            Some(AnchorError::NotAnAuthority)
        );
        assert_eq!(
            TrustAnchors::from_der(b"").err(),
            Some(AnchorError::NotACertificate)
        );
        assert_eq!(TrustAnchors::from_pem("").err(), Some(AnchorError::NotPem));
    }
}
