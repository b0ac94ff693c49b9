//! Verification of an attestation document against the signatures that it cannot do without: four
//! of the chain and the document's own, all P-384.
use std::{error::Error, hint::black_box, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        ParsedPublicKey,
    },
};
use dauth_attestation::{AgeRule, Appraisal, Images, NonceRule, Policy, appraise};
use dauth_enclave::{
    clock::{now_ms, now_s},
    platform::{Attester, Claims, nsm::NsmAttester},
};
use dauth_protocol::measurement::Pcr;
use dauth_simulator::nsm::{Measurements, SimulatedNsm, SimulatorRoot};

use crate::{
    Options,
    measure::{Candidate, Report, Role, measure},
};

/// Signatures of one document and its chain.
const SIGNATURES: usize = 5;
/// About as long as a certificate to be verified.
const MESSAGE_BYTES: usize = 600;

pub(crate) fn run(options: Options) -> Result<Report, Box<dyn Error>> {
    let root = SimulatorRoot::create(now_s())?;
    let anchors = root.trust_anchors()?;
    let image = Pcr::from([0x5a; 48]);
    let measurements = Measurements {
        pcr0: image,
        pcr1: image,
        pcr2: image,
        role_arn: None,
        instance_id: "i-0123456789abcdef0".to_owned(),
    };
    let nsm = SimulatedNsm::start(&measurements, root, Arc::new(now_ms))?;
    let document = NsmAttester::new(nsm).attest(&Claims::default())?;
    let policy = Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        ..Policy::new(Images::Unconstrained)
    };
    let appraisal = Appraisal {
        anchors: &anchors,
        policy: &policy,
        now_ms: now_ms(),
    };
    appraise(&document, &appraisal)?;

    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8.as_ref())?;
    let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref())?;
    let message = [0x42; MESSAGE_BYTES];
    let signature = pair.sign(&random, &message)?;
    key.verify_sig(&message, signature.as_ref())?;

    Ok(measure(
        "Verification of an attestation document",
        options.rounds,
        vec![
            Candidate {
                name: "dauth-attestation, cold",
                role: Role::Subject,
                work: Box::new(|| {
                    let _ = black_box(appraise(black_box(&document), &appraisal));
                }),
            },
            Candidate {
                name: "five P-384 verifications of aws-lc-rs",
                role: Role::Floor,
                work: Box::new(|| {
                    for _ in 0..SIGNATURES {
                        let _ = black_box(key.verify_sig(black_box(&message), signature.as_ref()));
                    }
                }),
            },
        ],
    ))
}
