//! Whom the enclave believes.
use std::sync::Arc;

use dauth_attestation::TrustAnchors;
use rustls::RootCertStore;

/// The trust anchors. Always passed in: the library has no anchors of its own.
#[derive(Clone)]
pub struct Trust {
    /// Who signs attestation documents.
    pub attestation: TrustAnchors,
    /// Who signs the certificate of KMS.
    pub kms: Arc<RootCertStore>,
    /// Who signs the certificates of upstreams.
    pub upstream: Arc<RootCertStore>,
}
