//! The peers.
use nsm_nitro_enclave_utils::{
    api::nsm::AttestationDoc, time::Time, verify::AttestationDocVerifierExt,
};

/// A document, and what it is to be judged by.
pub struct Evidence {
    /// COSE_Sign1.
    pub document: Vec<u8>,
    /// The root, in DER.
    pub root: Vec<u8>,
    /// The time, Unix milliseconds.
    pub at_ms: u64,
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It accepts.
    Accepts,
    /// It has verified everything, every signature too, and then refuses the root, since it is not
    /// the one of AWS that is built in.
    AcceptsAllButTheRoot,
    /// It refuses, in its words.
    Refuses(String),
}

/// A published verifier.
pub struct Peer {
    /// The crate.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Judges a document.
    pub judge: fn(&Evidence) -> Verdict,
}

/// Two of four. `attestation-doc-validation` 0.10.1 knows no time but the system's, and so refuses
/// every document that can be stored; `nitro_attest` 0.2.0 compares the root with that of AWS before
/// it does anything else, and so has nothing to say about forged documents.
pub fn peers() -> Vec<Peer> {
    vec![
        Peer {
            name: "nsm-nitro-enclave-utils",
            version: "0.1.3",
            judge: nsm_nitro_enclave_utils,
        },
        Peer {
            name: "ic_tee_nitro_attestation",
            version: "0.8.0",
            judge: ic_tee_nitro_attestation,
        },
    ]
}

fn nsm_nitro_enclave_utils(evidence: &Evidence) -> Verdict {
    let at_ms = evidence.at_ms;
    let time = Time::new(Box::new(move || at_ms));
    match AttestationDoc::from_cose(&evidence.document, &evidence.root, time) {
        Ok(_) => Verdict::Accepts,
        Err(error) => Verdict::Refuses(format!("{error:?}")),
    }
}

/// It takes no time: it judges at the document's own.
fn ic_tee_nitro_attestation(evidence: &Evidence) -> Verdict {
    match ic_tee_nitro_attestation::parse_and_verify(&evidence.document) {
        Ok(_) => Verdict::Accepts,
        // The last of its comparisons, after the signature of the document and all of the chain.
        Err(error) if error.ends_with("is not a root certificate") => Verdict::AcceptsAllButTheRoot,
        Err(error) => Verdict::Refuses(error),
    }
}
