//! The verifier (RFC 9334 section 5): the checks, in their order.
use crate::{
    AttestationResult, Error, MAX_DOCUMENT_BYTES, Policy, SignatureAlgorithms, TrustAnchors,
    cache::{ChainCache, ChainCacheLimits},
    chain::{At, Chain},
    cose::CoseSign1,
    document::Document,
};

/// Judges documents by the same roots again and again.
///
/// With a cache of chains, the second document under a chain costs one signature instead of five:
///
/// ```
/// # #[cfg(feature = "aws-lc-rs")] {
/// use dauth_attestation::{ChainCacheLimits, Images, NonceRule, Policy, ReferenceValues};
/// use dauth_attestation::{TrustAnchors, Verifier};
///
/// let verifier = Verifier::new(TrustAnchors::aws_nitro()).with_cache(ChainCacheLimits::default());
///
/// let release = ReferenceValues::new().with_pcr(0, &[0x5a; 48]);
/// let policy = Policy {
///     nonce: NonceRule::Equals(vec![7; 32]),
///     ..Policy::new(Images::AnyOf(vec![release]))
/// };
/// let refused = verifier.appraise(b"no document", &policy, 1_731_627_990_000);
/// assert!(refused.is_err());
/// # }
/// ```
#[derive(Debug)]
pub struct Verifier {
    anchors: TrustAnchors,
    algorithms: SignatureAlgorithms,
    cache: Option<ChainCache>,
}

impl Verifier {
    /// A verifier with the signature algorithms of aws-lc-rs, and without a cache.
    #[cfg(feature = "aws-lc-rs")]
    pub fn new(anchors: TrustAnchors) -> Self {
        Self::with_algorithms(anchors, SignatureAlgorithms::aws_lc_rs())
    }

    /// A verifier with the signature algorithms given, and without a cache.
    pub fn with_algorithms(anchors: TrustAnchors, algorithms: SignatureAlgorithms) -> Self {
        Self {
            anchors,
            algorithms,
            cache: None,
        }
    }

    /// The same with an empty cache of chains.
    #[must_use]
    pub fn with_cache(mut self, limits: ChainCacheLimits) -> Self {
        self.cache = Some(ChainCache::new(limits));
        self
    }

    /// Judges a document at a time, in Unix milliseconds.
    pub fn appraise(
        &self,
        document: &[u8],
        policy: &Policy,
        now_ms: u64,
    ) -> Result<AttestationResult, Error> {
        let judge = Judge {
            anchors: &self.anchors,
            algorithms: self.algorithms,
            cache: self.cache.as_ref(),
        };
        judge.appraise(document, policy, now_ms)
    }
}

/// What a [`Verifier`] and [`appraise`](crate::appraise()) have in common.
pub(crate) struct Judge<'a> {
    pub(crate) anchors: &'a TrustAnchors,
    pub(crate) algorithms: SignatureAlgorithms,
    pub(crate) cache: Option<&'a ChainCache>,
}

impl Judge<'_> {
    pub(crate) fn appraise(
        &self,
        document: &[u8],
        policy: &Policy,
        now_ms: u64,
    ) -> Result<AttestationResult, Error> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(Error::TooLong(document.len()));
        }
        let message = CoseSign1::parse(document)?;
        let document = Document::parse(message.payload)?;
        let at = At {
            now_s: now_ms / 1000,
            leeway_s: policy.leeway.as_secs(),
        };
        let chain = Chain::read(document.certificate, &document.cabundle, at)?;
        // A chain that cannot end in a pinned root is not worth a signature.
        let roots = self.anchors.roots_of(&chain, at)?;
        let signer = chain.signer()?;
        // Before the chain: whatever was changed on the way costs one signature to refuse.
        message.verify(&signer, self.algorithms)?;

        let cache = self.cache.map(|cache| (cache, chain.id()));
        // A cached root counts while a verification would find it, too.
        let known = cache
            .and_then(|(cache, id)| cache.root_of(&id, at.now_s))
            .and_then(|known| roots.iter().find(|root| root.index == known));
        let root = match known {
            Some(root) => root,
            None => chain.verify(&signer, &roots, self.algorithms)?,
        };
        let release = policy.check(&document, now_ms)?;
        if let (Some((cache, id)), None) = (cache, known) {
            cache.insert(id, root.index, at.now_s);
        }
        let validity = chain.validity.and(root.validity);
        Ok(AttestationResult::accepted(&document, validity, release))
    }
}
