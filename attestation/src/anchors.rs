//! The certificates that a chain may end in.
use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};

use crate::{Error, certificate::Certificate};

/// "AWS Nitro Enclaves Root-G1"; SHA-256 of its DER: see the test below.
const AWS_NITRO_ROOT_PEM: &str = include_str!("aws-nitro-enclaves-root-g1.pem");

/// The roots that a relying party pins.
///
/// The root in a document is never one of them: it comes from the party that is to be verified.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    anchors: Vec<Anchor>,
}

#[derive(Clone, Debug)]
struct Anchor {
    key: TrustAnchor<'static>,
    not_before_s: u64,
    not_after_s: u64,
    path_length: Option<u64>,
}

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

    /// The anchors that are themselves valid at `now_s` and allow so many intermediates below them.
    /// webpki takes the validity and the pathLenConstraint of an anchor for granted.
    pub(crate) fn usable(
        &self,
        now_s: u64,
        intermediates: usize,
    ) -> Result<Vec<TrustAnchor<'_>>, Error> {
        let valid = |anchor: &&Anchor| (anchor.not_before_s..=anchor.not_after_s).contains(&now_s);
        if !self.anchors.iter().any(|anchor| valid(&anchor)) {
            return Err(Error::NoValidAnchor);
        }
        let usable: Vec<_> = self
            .anchors
            .iter()
            .filter(valid)
            .filter(|anchor| {
                anchor
                    .path_length
                    .is_none_or(|max| intermediates as u64 <= max)
            })
            .map(|anchor| anchor.key.clone())
            .collect();
        if usable.is_empty() {
            return Err(Error::PathLength);
        }
        Ok(usable)
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
            not_before_s: certificate.not_before_s,
            not_after_s: certificate.not_after_s,
            path_length: certificate.path_length,
        })
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

    #[test]
    fn an_anchor_counts_only_while_it_is_valid() {
        let anchors = TrustAnchors::aws_nitro();
        assert!(anchors.usable(1_572_269_285, 3).is_ok());
        for outside in [1_572_269_284, 2_519_044_086] {
            let refused = anchors.usable(outside, 3).err();
            assert_eq!(refused, Some(Error::NoValidAnchor));
        }
    }
}
