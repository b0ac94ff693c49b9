use std::sync::atomic::{AtomicU64, Ordering};

use dauth_attestation::{
    Appraisal, AttestationResult, Error, Images, NonceRule, Policy, ReferenceValues, TrustAnchors,
    appraise,
};
use dauth_enclave::platform::{Attester, AttesterError, nsm::NsmAttester};

use super::*;

const START_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

struct Bench {
    nsm: NsmAttester<SimulatedNsm>,
    anchors: TrustAnchors,
    now_ms: Arc<AtomicU64>,
}

fn measurements() -> Measurements {
    Measurements {
        pcr0: Pcr::from([0x10; 48]),
        pcr1: Pcr::from([0x11; 48]),
        pcr2: Pcr::from([0x12; 48]),
        role_arn: Some("arn:aws:iam::123456789012:role/simulated".to_owned()),
        instance_id: "i-0123456789abcdef0".to_owned(),
    }
}

impl Bench {
    fn new() -> Self {
        let root = SimulatorRoot::create(START_MS / 1000).expect("root");
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        let clock = Arc::clone(&now_ms);
        Self {
            anchors: root.trust_anchors().expect("anchors"),
            nsm: NsmAttester::new(
                SimulatedNsm::start(
                    &measurements(),
                    root,
                    Arc::new(move || clock.load(Ordering::SeqCst)),
                )
                .expect("start"),
            ),
            now_ms,
        }
    }

    fn document(&self) -> Vec<u8> {
        let claims = dauth_enclave::platform::Claims {
            user_data: b"purpose:".to_vec(),
            nonce: vec![7; 32],
            public_key: vec![],
        };
        self.nsm.attest(&claims).expect("document")
    }

    fn appraise(&self, anchors: &TrustAnchors) -> Result<AttestationResult, Error> {
        let release = ReferenceValues::new()
            .with_pcr(0, &[0x10; 48])
            .with_pcr(1, &[0x11; 48])
            .with_pcr(2, &[0x12; 48]);
        let policy = Policy {
            nonce: NonceRule::Equals(vec![7; 32]),
            ..Policy::new(Images::AnyOf(vec![release]))
        };
        let appraisal = Appraisal {
            anchors,
            policy: &policy,
            now_ms: self.now_ms.load(Ordering::SeqCst),
        };
        appraise(&self.document(), &appraisal)
    }
}

#[test]
fn documents_pass_with_the_simulators_root_and_fail_with_that_of_aws() {
    let bench = Bench::new();
    let result = bench.appraise(&bench.anchors).expect("accepted");
    assert_eq!(result.user_data(), Some(&b"purpose:"[..]));
    assert_eq!(result.public_key(), None);
    assert_eq!(result.timestamp_ms(), START_MS);
    assert_eq!(result.pcrs().count(), 16);
    assert_eq!(
        bench.appraise(&TrustAnchors::aws_nitro()),
        Err(Error::UnknownRoot)
    );
    let other = Bench::new();
    assert_eq!(
        bench.appraise(&other.anchors),
        Err(Error::CertificateSignature)
    );
}

#[test]
fn documents_have_the_form_of_real_ones() {
    let document = Bench::new().document();
    // Untagged; ES384 alone; no unprotected header; a payload in an indefinite-length map.
    assert_eq!(
        document[..8],
        [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59]
    );
    assert_eq!(document[10], 0xbf);
    assert!(document.len() < MAX_RESPONSE_BYTES);
    assert_eq!(document[document.len() - 98..][..2], [0x58, 0x60]);
    assert_eq!(document[document.len() - 99], 0xff);
}

#[test]
fn certificates_are_renewed_before_they_end() {
    let bench = Bench::new();
    let mut leaves = std::collections::BTreeSet::new();
    // Forward in steps of all sizes, and once back.
    for at_ms in [
        0,
        1,
        3 * 3600 * 1000,
        DAY_MS,
        6 * DAY_MS,
        20 * DAY_MS,
        900 * DAY_MS,
        DAY_MS,
    ] {
        bench.now_ms.store(START_MS + at_ms, Ordering::SeqCst);
        let result = bench.appraise(&bench.anchors).expect("accepted");
        let now_s = (START_MS + at_ms) / 1000;
        assert!(result.chain_valid_from_s() <= now_s);
        assert!(result.chain_valid_until_s() >= now_s + 15 * 60);
        leaves.insert(result.chain_valid_from_s());
    }
    assert_eq!(leaves.len(), 6, "the leaf is kept while it is good");
}

#[test]
fn registers_extend_until_they_are_locked() {
    let bench = Bench::new();
    let nsm = &bench.nsm;
    let zero = nsm.describe_pcr(16).expect("PCR16");
    assert_eq!((zero.value, zero.locked), (Pcr::ZERO, false));

    let digest = [0x5a; 48];
    let value = nsm.extend_pcr(16, &digest).expect("extend");
    assert_eq!(value, Pcr::ZERO.extend(&digest));
    assert_eq!(nsm.describe_pcr(16).expect("PCR16").value, value);
    assert_eq!(
        bench.appraise(&bench.anchors).expect("accepted").pcr(16),
        None
    );

    assert!(matches!(
        nsm.device().process(Request::LockPCR { index: 16 }),
        Response::LockPCR
    ));
    assert_eq!(nsm.extend_pcr(16, &digest), Err(AttesterError::Locked));
    let result = bench.appraise(&bench.anchors).expect("accepted");
    assert_eq!(result.pcrs().count(), 17);
    assert_eq!(result.pcr(16), Some(&value.as_bytes()[..]));

    nsm.lock_pcrs(32).expect("lock all");
    assert_eq!(
        bench
            .appraise(&bench.anchors)
            .expect("accepted")
            .pcrs()
            .count(),
        32
    );
    for index in 0..32 {
        assert_eq!(nsm.extend_pcr(index, &digest), Err(AttesterError::Locked));
    }
}

#[test]
fn errors_are_those_of_the_device() {
    let nsm = Bench::new().nsm;
    let code = |request| match nsm.device().process(request) {
        Response::Error(code) => format!("{code:?}"),
        other => format!("{other:?}"),
    };
    assert_eq!(code(Request::DescribePCR { index: 32 }), "InvalidIndex");
    assert_eq!(
        code(Request::ExtendPCR {
            index: 32,
            data: vec![]
        }),
        "InvalidIndex"
    );
    assert_eq!(
        code(Request::ExtendPCR {
            index: 0,
            data: vec![]
        }),
        "ReadOnlyIndex"
    );
    assert_eq!(
        code(Request::ExtendPCR {
            index: 16,
            data: vec![0; 4096]
        }),
        "InputTooLarge"
    );
    assert_eq!(code(Request::LockPCR { index: 32 }), "InvalidIndex");
    assert_eq!(code(Request::LockPCR { index: 15 }), "ReadOnlyIndex");
    assert_eq!(code(Request::LockPCRs { range: 33 }), "InvalidIndex");
    let attestation = |user_data, nonce, public_key| Request::Attestation {
        user_data: Some(ByteBuf::from(vec![1; user_data])),
        nonce: Some(ByteBuf::from(vec![1; nonce])),
        public_key: Some(ByteBuf::from(vec![1; public_key])),
    };
    assert_eq!(code(attestation(513, 0, 0)), "InputTooLarge");
    assert_eq!(code(attestation(0, 513, 0)), "InputTooLarge");
    assert_eq!(code(attestation(0, 0, 1025)), "InputTooLarge");
    let largest = nsm.device().process(attestation(512, 512, 1024));
    assert!(matches!(largest, Response::Attestation { .. }));
}

#[test]
fn the_module_describes_itself_and_yields_randomness() {
    let nsm = Bench::new().nsm;
    let Response::DescribeNSM {
        max_pcrs,
        locked_pcrs,
        module_id,
        ..
    } = nsm.device().process(Request::DescribeNSM)
    else {
        panic!("no description")
    };
    assert_eq!(max_pcrs, 32);
    assert_eq!(locked_pcrs, (0..16).collect());
    assert!(module_id.starts_with("i-0123456789abcdef0-enc"));
    let (mut one, mut other) = ([0; 300], [0; 300]);
    nsm.random(&mut one).expect("random");
    nsm.random(&mut other).expect("random");
    assert_ne!(one, other);
}

#[test]
fn a_root_is_kept_as_pem_and_read_again() {
    let root = SimulatorRoot::create(START_MS / 1000).expect("root");
    let pem = root.to_pem();
    let again = SimulatorRoot::from_pem(&pem).expect("root");
    assert_eq!(again.to_pem(), pem);
    assert_eq!(again.certificate_pem(), root.certificate_pem());
    assert!(!root.certificate_pem().contains("PRIVATE"));

    let clock: Clock = Arc::new(|| START_MS);
    let nsm = SimulatedNsm::start(&measurements(), again, clock).expect("start");
    let bench = Bench {
        nsm: NsmAttester::new(nsm),
        anchors: TrustAnchors::from_pem(root.certificate_pem()).expect("anchors"),
        now_ms: Arc::new(AtomicU64::new(START_MS)),
    };
    bench.appraise(&bench.anchors).expect("accepted");

    let stranger = SimulatorRoot::create(START_MS / 1000).expect("root");
    let mixed = root
        .to_pem()
        .replace(root.certificate_pem(), stranger.certificate_pem());
    assert!(matches!(
        SimulatorRoot::from_pem(&mixed),
        Err(PkiError::RootKey)
    ));
    assert!(matches!(
        SimulatorRoot::from_pem(root.certificate_pem()),
        Err(PkiError::RootKey)
    ));
}
