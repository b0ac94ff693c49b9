//! Whom the enclave believes.
use std::sync::Arc;

use dauth_attestation::TrustAnchors;
use rustls::RootCertStore;

/// Who is believed when he says that a KMS key is locked.
///
/// A public root signs certificates for everybody. Whoever writes the configuration could name an
/// endpoint of his own in it, and what answers there would call any key locked and know them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockAuthority {
    /// AWS, under a name in the key's region that AWS alone has.
    Aws,
    /// Whoever [`Trust::kms`] signs for: the roots are those of one KMS.
    Roots,
}

/// The trust anchors. Always passed in: the library has no anchors of its own.
#[derive(Clone)]
pub struct Trust {
    /// Who signs attestation documents.
    pub attestation: TrustAnchors,
    /// Who signs the certificate of KMS.
    pub kms: Arc<RootCertStore>,
    /// Whose word it is that a KMS key is locked.
    pub locks: LockAuthority,
    /// Who signs the certificates of upstreams.
    pub upstream: Arc<RootCertStore>,
}
