//! Verification of an attestation document against the signatures that it cannot do without, four
//! of the chain and the document's own, and against published verifiers.
use std::{error::Error, fs, hint::black_box, path::PathBuf};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        ParsedPublicKey,
    },
};
use clap::Args;
use dauth_attestation::{
    AgeRule, ChainCacheLimits, DebugMode, Images, NonceRule, Policy, TrustAnchors, Verifier,
};

use crate::{
    measure::{Candidate, Measured, Role, measure},
    peers,
    report::{Budget, Line, Ratio, Report},
};

/// Signatures of a document and its chain of three intermediates.
const SIGNATURES: usize = 5;
/// About as long as a certificate to be verified.
const MESSAGE_BYTES: usize = 600;
/// The time at which the vectors are judged.
const VECTORS_AT_MS: u64 = 1_750_000_000_000;

/// What is measured, and upon which document.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each candidate is measured.
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// Leave out the published verifiers, which are built first (a minute, and the registry).
    #[arg(long)]
    without_peers: bool,
    /// A real document, under the root of AWS, in place of a vector of the project.
    #[arg(long, requires = "at_ms")]
    document: Option<PathBuf>,
    /// The time at which that document is valid, Unix milliseconds.
    #[arg(long, requires = "document")]
    at_ms: Option<u64>,
}

/// A document and what it is judged by.
pub(crate) struct Input {
    pub(crate) document: PathBuf,
    /// In PEM.
    pub(crate) root: PathBuf,
    pub(crate) at_ms: u64,
}

impl Input {
    fn new(options: &Options) -> Self {
        let attestation = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../attestation");
        match (&options.document, options.at_ms) {
            (Some(document), Some(at_ms)) => Self {
                document: document.clone(),
                root: attestation.join("src/aws-nitro-enclaves-root-g1.pem"),
                at_ms,
            },
            _ => Self {
                document: attestation.join("vectors/accept_definite_map.cose"),
                root: attestation.join("vectors/root.pem"),
                at_ms: VECTORS_AT_MS,
            },
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let input = Input::new(options);
    let document = fs::read(&input.document)?;
    let anchors = TrustAnchors::from_pem(&fs::read_to_string(&input.root)?)?;
    let policy = Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        debug_mode: DebugMode::Allow,
        ..Policy::new(Images::Unconstrained)
    };
    let cold = Verifier::new(anchors.clone());
    let warm = Verifier::new(anchors).with_cache(ChainCacheLimits::default());
    cold.appraise(&document, &policy, input.at_ms)?;
    let judge = |verifier: &Verifier| {
        let _ = black_box(verifier.appraise(black_box(&document), &policy, input.at_ms));
    };

    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8.as_ref())?;
    let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, pair.public_key().as_ref())?;
    let message = [0x42; MESSAGE_BYTES];
    let signature = pair.sign(&random, &message)?;
    key.verify_sig(&message, signature.as_ref())?;
    let verify = || {
        let _ = black_box(key.verify_sig(black_box(&message), signature.as_ref()));
    };

    let mut candidates = vec![
        Candidate::new("dauth-attestation, cold", Role::Subject, || judge(&cold)),
        Candidate::new("five P-384 verifications of aws-lc-rs", Role::Floor, || {
            (0..SIGNATURES).for_each(|_| verify());
        }),
        Candidate::new("dauth-attestation, repeated chain", Role::Subject, || {
            judge(&warm);
        }),
        Candidate::new("one P-384 verification of aws-lc-rs", Role::Floor, verify),
    ];
    if !options.without_peers {
        candidates.extend(peers::candidates(&input)?);
    }
    let measured = measure(options.rounds, candidates)?;
    Ok(Report {
        title: "Verification of an attestation document",
        input: input
            .document
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        rounds: options.rounds,
        ratios: ratios(&measured),
        medians: measured.iter().map(Line::cpu).collect(),
        figures: Vec::new(),
    })
}

/// The budgets of issue 3: close to the signatures alone, and far from the other verifiers.
fn ratios(measured: &[Measured]) -> Vec<Ratio> {
    let [cold, five, repeated, one, peers @ ..] = measured else {
        return Vec::new();
    };
    let mut ratios = vec![
        Ratio::new(
            "cold / five verifications".to_owned(),
            cold.median_us() / five.median_us(),
            Budget::AtMost(1.1),
        ),
        Ratio::new(
            "repeated chain / one verification".to_owned(),
            repeated.median_us() / one.median_us(),
            Budget::AtMost(1.2),
        ),
    ];
    ratios.extend(peers.iter().map(|peer| {
        Ratio::new(
            format!("{} / cold", peer.name),
            peer.median_us() / cold.median_us(),
            Budget::AtLeast(3.0),
        )
    }));
    ratios
}
