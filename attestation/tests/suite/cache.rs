//! The cache of chains: what a repetition costs, and what an attacker gains by it.
use core::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dauth_attestation::{
    AttestationResult, ChainCacheLimits, Error, Field, NonceRule, Policy, SignatureAlgorithms,
    TrustAnchors, Verifier,
};
use rcgen::DnType;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use webpki::aws_lc_rs::ECDSA_P384_SHA384;

use crate::forge::{
    Forge, INSTANCE, LEAF, NOW_MS, NOW_S, REGIONAL, ROOT, ZONAL, anything, bytes, valid,
};

/// Four certificates and the document.
const COLD: usize = 5;
/// The document.
const WARM: usize = 1;

/// aws-lc-rs, counting.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.0.fetch_add(1, Ordering::Relaxed);
        ECDSA_P384_SHA384.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P384_SHA384.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P384_SHA384.signature_alg_id()
    }
}

struct Counted {
    verifier: Verifier,
    count: &'static Counting,
}

type Verdict = Result<AttestationResult, Error>;

impl Counted {
    fn new(anchors: &TrustAnchors, limits: ChainCacheLimits) -> Self {
        let count: &'static Counting = Box::leak(Box::default());
        let algorithms = SignatureAlgorithms::new(count);
        let verifier = Verifier::with_algorithms(anchors.clone(), algorithms).with_cache(limits);
        Self { verifier, count }
    }

    /// A verifier that knows the chain of `forge`.
    fn warm(forge: &Forge) -> Self {
        let counted = Self::new(&forge.anchors, long());
        let (verdict, cost) = counted.judge(&forge.document(), &anything(), NOW_MS);
        assert!(verdict.is_ok());
        assert_eq!(cost, COLD);
        counted
    }

    /// The verdict, and the signatures that it cost.
    fn judge(&self, document: &[u8], policy: &Policy, now_ms: u64) -> (Verdict, usize) {
        let before = self.count.0.load(Ordering::Relaxed);
        let verdict = self.verifier.appraise(document, policy, now_ms);
        (verdict, self.count.0.load(Ordering::Relaxed) - before)
    }

    fn cost(&self, forge: &Forge) -> usize {
        let (verdict, cost) = self.judge(&forge.document(), &anything(), NOW_MS);
        verdict.expect("accepted");
        cost
    }
}

fn long() -> ChainCacheLimits {
    ChainCacheLimits {
        max_chains: 8,
        max_life: Duration::from_secs(1_000_000),
    }
}

/// Under roots that bear different names, as those of different NSMs would.
fn named(name: &str) -> Forge {
    Forge::with_certificates(|all| {
        let root = &mut all[ROOT].distinguished_name;
        root.push(DnType::OrganizationName, name);
    })
}

fn anchors_of(forges: &[&Forge]) -> TrustAnchors {
    let pem: String = forges.iter().map(|forge| forge.root_pem.as_str()).collect();
    TrustAnchors::from_pem(&pem).expect("roots")
}

#[test]
fn a_repeated_chain_costs_one_signature() {
    let mut forge = Forge::new();
    let counted = Counted::warm(&forge);
    forge.set("nonce", bytes(b"another document"));
    assert_eq!(counted.cost(&forge), WARM);
    let (again, _) = counted.judge(&forge.document(), &anything(), NOW_MS);
    assert_eq!(again, forge.judge(), "the same result as without a cache");
    // The bundled root is nobody's: it is no part of the chain.
    forge.cabundle()[ROOT] = bytes(b"x");
    assert_eq!(counted.cost(&forge), WARM);
}

#[test]
fn without_a_cache_each_costs_all() {
    let forge = Forge::new();
    let limits = ChainCacheLimits {
        max_chains: 0,
        ..long()
    };
    let counted = Counted::new(&forge.anchors, limits);
    assert_eq!([counted.cost(&forge), counted.cost(&forge)], [COLD, COLD]);
}

#[test]
fn the_leaf_of_a_known_chain_is_not_enough() {
    let mut forge = Forge::new();
    let counted = Counted::warm(&forge);
    let stranger = Forge::new().cabundle().clone();
    for level in [REGIONAL, ZONAL, INSTANCE] {
        let own = forge.cabundle()[level].clone();
        forge.cabundle()[level] = stranger[level].clone();
        let (verdict, _) = counted.judge(&forge.document(), &anything(), NOW_MS);
        assert_eq!(verdict, Err(Error::CertificateSignature));
        forge.cabundle()[level] = own;
    }
    assert_eq!(counted.cost(&forge), WARM);
}

#[test]
fn the_cabundle_of_a_known_chain_is_not_enough() {
    let mut forge = Forge::new();
    let counted = Counted::warm(&forge);
    let mut stranger = Forge::new();
    stranger.cabundle().clone_from(forge.cabundle());
    let (verdict, _) = counted.judge(&stranger.document(), &anything(), NOW_MS);
    assert_eq!(verdict, Err(Error::CertificateSignature));
    // Nor is a certificate that moved from one field into the other.
    let leaf = forge.get("certificate").clone();
    forge.cabundle().push(leaf);
    let (verdict, _) = counted.judge(&forge.document(), &anything(), NOW_MS);
    assert!(verdict.is_err());
}

#[test]
fn a_wrong_signature_is_wrong_under_a_known_chain() {
    let forge = Forge::new();
    let counted = Counted::warm(&forge);
    let mut document = forge.document();
    *document.last_mut().expect("signature") ^= 1;
    let (verdict, cost) = counted.judge(&document, &anything(), NOW_MS);
    assert_eq!((verdict, cost), (Err(Error::DocumentSignature), WARM));
    // The known chain, and the key of a stranger.
    let mut stranger = Forge::new();
    stranger.fields.clone_from(&forge.fields);
    let (verdict, _) = counted.judge(&stranger.document(), &anything(), NOW_MS);
    assert_eq!(verdict, Err(Error::DocumentSignature));
}

#[test]
fn a_known_chain_expires_with_each_of_its_certificates() {
    for level in [REGIONAL, ZONAL, INSTANCE, LEAF] {
        let until_s = NOW_S + 100;
        let forge = Forge::with_certificates(|all| valid(&mut all[level], NOW_S, until_s));
        let counted = Counted::warm(&forge);
        let document = forge.document();
        let (last, cost) = counted.judge(&document, &anything(), until_s * 1000);
        assert!(last.is_ok());
        assert_eq!(cost, WARM);
        let (late, _) = counted.judge(&document, &anything(), (until_s + 1) * 1000);
        assert!(matches!(late, Err(Error::Expired { .. })), "{late:?}");
        let (early, _) = counted.judge(&document, &anything(), (NOW_S - 11) * 1000);
        assert!(matches!(early, Err(Error::NotYetValid { .. })), "{early:?}");
    }
    let root = Forge::with_certificates(|all| valid(&mut all[ROOT], NOW_S, NOW_S + 100));
    let counted = Counted::warm(&root);
    let (late, _) = counted.judge(&root.document(), &anything(), NOW_MS + 101_000);
    assert_eq!(late, Err(Error::NoValidAnchor));
}

#[test]
fn leeway_is_that_of_each_policy() {
    let forge = Forge::new();
    let counted = Counted::warm(&forge);
    let judge = |leeway_s: u64, before_s: u64| {
        let policy = Policy {
            leeway: Duration::from_secs(leeway_s),
            ..anything()
        };
        let now_ms = NOW_MS - before_s * 1000;
        counted.judge(&forge.document(), &policy, now_ms).0.err()
    };
    let early = Error::NotYetValid {
        field: Field::Certificate,
        not_before_s: NOW_S,
    };
    assert_eq!(judge(10, 10), None);
    assert_eq!(judge(10, 11), Some(early.clone()));
    assert_eq!(judge(0, 1), Some(early));
}

#[test]
fn a_chain_known_to_another_verifier_is_unknown() {
    let (forge, other) = (Forge::new(), Forge::new());
    let counted = Counted::warm(&forge);
    let strangers = Counted::new(&other.anchors, long());
    let (verdict, _) = strangers.judge(&forge.document(), &anything(), NOW_MS);
    assert_eq!(verdict, Err(Error::CertificateSignature));
    // The root of the known chain is one of two; its like, of the same name, is no root of it.
    assert_eq!(counted.cost(&forge), WARM);
    let both = Counted::new(&anchors_of(&[&other, &forge]), long());
    assert!(both.cost(&forge) >= COLD);
    assert_eq!([both.cost(&forge), both.cost(&forge)], [WARM, WARM]);
}

#[test]
fn a_life_ends_whatever_way_the_clock_goes() {
    let long_lived = |all: &mut [rcgen::CertificateParams; 5]| {
        for params in all {
            valid(params, NOW_S - 1000, NOW_S + 1000);
        }
    };
    let forge = Forge::with_certificates(long_lived);
    let limits = ChainCacheLimits {
        max_life: Duration::from_secs(60),
        ..long()
    };
    for (later_s, expected) in [(0, WARM), (60, WARM), (61, COLD), (-60, WARM), (-61, COLD)] {
        let counted = Counted::new(&forge.anchors, limits);
        assert_eq!(counted.cost(&forge), COLD);
        let now_ms = NOW_MS.checked_add_signed(later_s * 1000).expect("time");
        let (verdict, cost) = counted.judge(&forge.document(), &anything(), now_ms);
        assert!(verdict.is_ok());
        assert_eq!(cost, expected, "{later_s} s later");
    }
}

#[test]
fn a_full_cache_forgets_what_was_used_least_recently() {
    let forges = ["a", "b", "c"].map(named);
    let [a, b, c] = &forges;
    let limits = ChainCacheLimits {
        max_chains: 2,
        ..long()
    };
    let counted = Counted::new(&anchors_of(&[a, b, c]), limits);
    let costs = [a, b, a, c, a, b].map(|forge| counted.cost(forge));
    assert_eq!(costs, [COLD, COLD, WARM, COLD, WARM, COLD]);
}

#[test]
fn what_is_refused_evicts_nothing() {
    let forges = ["known", "a", "b", "c"].map(named);
    let [known, strangers @ ..] = &forges;
    let limits = ChainCacheLimits {
        max_chains: 1,
        ..long()
    };
    let counted = Counted::new(&anchors_of(&forges.each_ref()), limits);
    assert_eq!(counted.cost(known), COLD);
    for stranger in strangers {
        // A document that is forged under a chain that is genuine.
        let mut forged = stranger.document();
        *forged.last_mut().expect("signature") ^= 1;
        assert!(counted.judge(&forged, &anything(), NOW_MS).0.is_err());
        // A genuine one of an enclave that is none of ours.
        let ours = Policy {
            nonce: NonceRule::Equals(b"ours".to_vec()),
            ..anything()
        };
        let (verdict, _) = counted.judge(&stranger.document(), &ours, NOW_MS);
        assert_eq!(verdict, Err(Error::Nonce));
    }
    assert_eq!(counted.cost(known), WARM);
}
