//! Real documents, where the folder of shared vectors stands beside the project.
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dauth_attestation::{
    AgeRule, Appraisal, AttestationResult, DebugMode, Error, Images, NonceRule, Policy,
    ReferenceValues, TrustAnchors, appraise,
};

pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) timestamp_ms: u64,
    valid_from_s: u64,
    valid_until_s: u64,
    mode: Mode,
}

/// How the enclave was started. Two of the documents that their publishers call valid are of
/// enclaves in debug mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Production,
    Debug,
}

pub(crate) const VECTORS: [Vector; 5] = [
    Vector {
        name: "real-2022-10.cbor",
        timestamp_ms: 1_665_651_482_136,
        valid_from_s: 1_665_651_479,
        valid_until_s: 1_665_662_282,
        mode: Mode::Production,
    },
    Vector {
        name: "real-2023-09.cbor",
        timestamp_ms: 1_695_049_410_860,
        valid_from_s: 1_695_047_829,
        valid_until_s: 1_695_058_632,
        mode: Mode::Debug,
    },
    Vector {
        name: "real-2024-11-a.cbor",
        timestamp_ms: 1_731_627_989_450,
        valid_from_s: 1_731_619_466,
        valid_until_s: 1_731_630_269,
        mode: Mode::Debug,
    },
    Vector {
        name: "real-2024-11-b.cbor",
        timestamp_ms: 1_730_792_863_352,
        valid_from_s: 1_730_792_835,
        valid_until_s: 1_730_803_638,
        mode: Mode::Production,
    },
    Vector {
        name: "debug-mode-2022-10.cbor",
        timestamp_ms: 1_665_582_606_081,
        valid_from_s: 1_665_582_591,
        valid_until_s: 1_665_593_394,
        mode: Mode::Debug,
    },
];

/// A time at which none of the documents is valid.
const NOW_MS: u64 = 1_767_225_600_000;

impl Vector {
    /// The document, or `None` after saying that it is absent.
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/attestation");
        match fs::read(folder.join(self.name)) {
            Ok(document) => Some(document),
            Err(error) => {
                eprintln!("SKIPPED: shared vector {} is absent ({error})", self.name);
                None
            }
        }
    }
}

pub(crate) fn anything() -> Policy {
    Policy {
        debug_mode: DebugMode::Allow,
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        ..Policy::new(Images::Unconstrained)
    }
}

fn judge(document: &[u8], policy: &Policy, now_ms: u64) -> Result<AttestationResult, Error> {
    let anchors = TrustAnchors::aws_nitro();
    appraise(
        document,
        &Appraisal {
            anchors: &anchors,
            policy,
            now_ms,
        },
    )
}

#[test]
fn accepted_inside_their_window_and_there_alone() {
    for vector in &VECTORS {
        let Some(document) = vector.read() else {
            return;
        };
        let policy = Policy {
            leeway: core::time::Duration::ZERO,
            ..anything()
        };
        for second in [vector.valid_from_s, vector.valid_until_s] {
            let result = judge(&document, &policy, second * 1000).expect(vector.name);
            assert_eq!(result.timestamp_ms(), vector.timestamp_ms);
            assert_eq!(result.digest(), "SHA384");
            assert_eq!(result.pcrs().count(), 16);
            assert!(result.pcrs().all(|(_, value)| value.len() == 48));
            assert!(result.module_id().starts_with("i-"));
            assert_eq!(result.chain_valid_from_s(), vector.valid_from_s);
            assert_eq!(result.chain_valid_until_s(), vector.valid_until_s);
        }
        let early = judge(&document, &policy, vector.valid_from_s * 1000 - 1);
        assert!(matches!(early, Err(Error::NotYetValid { .. })));
        for late in [(vector.valid_until_s + 1) * 1000, NOW_MS, u64::MAX] {
            let late = judge(&document, &policy, late);
            assert!(matches!(late, Err(Error::Expired { .. })), "{late:?}");
        }
    }
}

#[test]
fn pinned_to_their_images_nonce_and_age() {
    let vector = &VECTORS[0];
    let Some(document) = vector.read() else {
        return;
    };
    let result = judge(&document, &anything(), vector.timestamp_ms).expect("accepted");
    let release = result
        .pcrs()
        .filter(|(index, _)| *index < 3)
        .fold(ReferenceValues::new(), |release, (index, value)| {
            release.with_pcr(index, value)
        });
    let policy = Policy {
        nonce: NonceRule::Equals(result.nonce().expect("256 bytes").to_vec()),
        ..Policy::new(Images::AnyOf(vec![release.clone()]))
    };
    assert!(judge(&document, &policy, vector.timestamp_ms + 300_000).is_ok());
    let old = judge(&document, &policy, vector.timestamp_ms + 300_001);
    assert_eq!(old, Err(Error::TooOld { age_ms: 300_001 }));

    let other = Policy {
        images: Images::AnyOf(vec![release.with_pcr(1, &[1; 48])]),
        ..policy
    };
    let other = judge(&document, &other, vector.timestamp_ms);
    assert_eq!(other, Err(Error::UnknownImage(1)));
}

/// The formula of PCR4, which is that of PCR3, too.
#[test]
fn the_instance_is_the_one_measured() {
    for vector in &VECTORS {
        let Some(document) = vector.read() else {
            return;
        };
        let result = judge(&document, &anything(), vector.timestamp_ms).expect(vector.name);
        let instance = result.module_id().split("-enc").next().unwrap_or_default();
        let pinned = |id: &str| Policy {
            images: Images::AnyOf(vec![ReferenceValues::new().with_instance_id(id)]),
            ..anything()
        };
        let own = judge(&document, &pinned(instance), vector.timestamp_ms).expect(vector.name);
        assert_eq!(own.release(), Some(0));
        let other = judge(
            &document,
            &pinned("i-1234567890abcdef0"),
            vector.timestamp_ms,
        );
        assert_eq!(other, Err(Error::UnknownImage(4)));
    }
}

#[test]
fn debug_mode_is_refused_unless_allowed() {
    let refuse = Policy {
        debug_mode: DebugMode::Refuse,
        ..anything()
    };
    for vector in &VECTORS {
        let Some(document) = vector.read() else {
            return;
        };
        let result = judge(&document, &refuse, vector.timestamp_ms);
        match vector.mode {
            Mode::Production => assert!(result.is_ok(), "{}", vector.name),
            Mode::Debug => assert_eq!(result, Err(Error::DebugMode(0)), "{}", vector.name),
        }
        let allowed = judge(&document, &anything(), vector.timestamp_ms).expect(vector.name);
        let zero = allowed.pcr(0) == Some(&[0; 48]);
        assert_eq!(zero, vector.mode == Mode::Debug, "{}", vector.name);
        assert_eq!(allowed.debug_mode(), zero);
    }
}

#[test]
fn refused_by_another_root() {
    let Some(document) = VECTORS[0].read() else {
        return;
    };
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&key).expect("root");
    let anchors = TrustAnchors::from_der(root.der()).expect("anchor");
    let refused = appraise(
        &document,
        &Appraisal {
            anchors: &anchors,
            policy: &anything(),
            now_ms: VECTORS[0].timestamp_ms,
        },
    );
    assert_eq!(refused, Err(Error::UnknownRoot));
}

#[test]
fn every_truncation_is_refused() {
    for vector in &VECTORS {
        let Some(document) = vector.read() else {
            return;
        };
        for end in 0..document.len() {
            assert!(judge(&document[..end], &anything(), vector.timestamp_ms).is_err());
        }
    }
}

/// All bits of one document; of the others one in 13, in every place of a byte. With
/// `DAUTH_EVERY_BIT=1` all bits of all, which takes 200,000 verifications.
#[test]
fn every_flipped_bit_is_refused() {
    let others = match std::env::var_os("DAUTH_EVERY_BIT") {
        Some(_) => 1,
        None => 13,
    };
    for (vector, step) in VECTORS.iter().zip([others, others, others, 1, others]) {
        let Some(document) = vector.read() else {
            return;
        };
        refuse_flips(&document, vector, step);
    }
}

fn refuse_flips(document: &[u8], vector: &Vector, step: usize) {
    let policy = anything();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut flipped = document.to_vec();
                loop {
                    let bit = next.fetch_add(step, Ordering::Relaxed);
                    let Some(byte) = flipped.get_mut(bit / 8) else {
                        return;
                    };
                    *byte ^= 1 << (bit % 8);
                    let refused = judge(&flipped, &policy, vector.timestamp_ms).is_err();
                    assert!(refused, "{}: bit {bit}", vector.name);
                    flipped[bit / 8] ^= 1 << (bit % 8);
                }
            });
        }
    });
}
