//! The least of an NSM that the verifier accepts: one root, one leaf, documents for an image.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use ciborium::Value;
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
use dauth_attestation::TrustAnchors;
use dauth_protocol::{deployment::Predecessor, measurement::Pcr};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};

use crate::platform::{Attester, AttesterError, Claims, PcrState};

/// Inside the certificates' life: where a test begins.
const START_MS: u64 = 1_800_000_000_000;

pub(crate) struct Nsm {
    image: Predecessor,
    root: Vec<u8>,
    leaf: Vec<u8>,
    key: Vec<u8>,
    now_ms: Arc<AtomicU64>,
}

impl Nsm {
    /// Under a new root.
    pub(super) fn new(image: Predecessor) -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (root_key, leaf_key) = (key(), key());
        let mut root = params();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_certificate = root.self_signed(&root_key).unwrap();
        let mut leaf = params();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let issuer = Issuer::from_params(&root, &root_key);
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        Self {
            image,
            root: root_certificate.der().to_vec(),
            leaf: leaf.der().to_vec(),
            key: leaf_key.serialize_der(),
            now_ms: Arc::new(AtomicU64::new(START_MS)),
        }
    }

    /// Another image under the same root, at the same time.
    pub(super) fn with_image(&self, image: Predecessor) -> Self {
        Self {
            image,
            root: self.root.clone(),
            leaf: self.leaf.clone(),
            key: self.key.clone(),
            now_ms: Arc::clone(&self.now_ms),
        }
    }

    pub(super) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::from_der(&self.root).unwrap()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub(super) fn pass_ms(&self, span_ms: u64) {
        self.now_ms.fetch_add(span_ms, Ordering::Relaxed);
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    params.not_after = rcgen::date_time_ymd(2037, 1, 1);
    params
}

fn optional(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        Value::Bytes(bytes.to_vec())
    }
}

impl Attester for Nsm {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        let pcrs = BTreeMap::from([
            (0, self.image.pcr0),
            (1, Pcr::from([1; 48])),
            (2, Pcr::from([2; 48])),
            (16, self.image.pcr16),
        ]);
        let pcrs = pcrs
            .into_iter()
            .map(|(index, value)| (Value::from(index), Value::Bytes(value.as_bytes().to_vec())));
        let entry = |name: &str, value| (Value::from(name), value);
        let payload = Value::Map(vec![
            entry("module_id", "i-test".into()),
            entry("digest", "SHA384".into()),
            entry("timestamp", self.now_ms().into()),
            entry("pcrs", Value::Map(pcrs.collect())),
            entry("certificate", Value::Bytes(self.leaf.clone())),
            entry(
                "cabundle",
                Value::Array(vec![Value::Bytes(self.root.clone())]),
            ),
            entry("public_key", optional(&claims.public_key)),
            entry("user_data", optional(&claims.user_data)),
            entry("nonce", optional(&claims.nonce)),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&payload, &mut bytes).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &self.key).unwrap();
        let sign = |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap();
        let protected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::ES384)
            .build();
        Ok(CoseSign1Builder::new()
            .protected(protected)
            .payload(bytes)
            .create_signature(&[], |message| sign(message).as_ref().to_vec())
            .build()
            .to_vec()
            .unwrap())
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), AttesterError> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| AttesterError::Refused)
    }

    fn describe_pcr(&self, index: u16) -> Result<PcrState, AttesterError> {
        let value = match index {
            0 => self.image.pcr0,
            16 => self.image.pcr16,
            _ => return Err(AttesterError::Refused),
        };
        Ok(PcrState {
            value,
            locked: true,
        })
    }

    fn extend_pcr(&self, _: u16, _: &[u8]) -> Result<Pcr, AttesterError> {
        Err(AttesterError::Locked)
    }

    fn lock_pcrs(&self, _: u16) -> Result<(), AttesterError> {
        Ok(())
    }
}
