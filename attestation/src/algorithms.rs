//! Which implementation verifies signatures.
use rustls_pki_types::SignatureVerificationAlgorithm;

/// The signature algorithms of Nitro evidence, by whichever library.
///
/// There is one: ECDSA over P-384 with SHA-384 signs the certificates (RFC 5758) and the document
/// (ES384, RFC 9053 section 2.1). aws-lc-rs does not build for `wasm32-unknown-unknown`; the feature
/// `rust-crypto` does.
#[derive(Clone, Copy, Debug)]
pub struct SignatureAlgorithms {
    p384_sha384: &'static dyn SignatureVerificationAlgorithm,
}

impl SignatureAlgorithms {
    /// Another implementation of ECDSA_P384_SHA384 (ASN.1 signatures, as in X.509).
    pub const fn new(p384_sha384: &'static dyn SignatureVerificationAlgorithm) -> Self {
        Self { p384_sha384 }
    }

    /// The implementation of aws-lc-rs.
    #[cfg(feature = "aws-lc-rs")]
    pub const fn aws_lc_rs() -> Self {
        Self::new(webpki::aws_lc_rs::ECDSA_P384_SHA384)
    }

    /// The implementation of the RustCrypto crates, which builds for `wasm32-unknown-unknown` too.
    /// It is slower than that of aws-lc-rs, and no one has verified it formally.
    #[cfg(feature = "rust-crypto")]
    pub const fn rust_crypto() -> Self {
        Self::new(&crate::rust_crypto::P384Sha384)
    }

    /// The implementation.
    pub fn p384_sha384(&self) -> &'static dyn SignatureVerificationAlgorithm {
        self.p384_sha384
    }
}

#[cfg(feature = "aws-lc-rs")]
impl Default for SignatureAlgorithms {
    fn default() -> Self {
        Self::aws_lc_rs()
    }
}
