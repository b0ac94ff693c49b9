//! Attestation documents under a root of the test's own.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ciborium::Value;
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, iana};
use dauth_attestation::TrustAnchors;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};

use super::{PCR0, now_ms};

/// Signs documents: a root, and one leaf that it issued.
pub(crate) struct Attester {
    root: Vec<u8>,
    leaf: Vec<u8>,
    key: EcdsaKeyPair,
}

/// What a document says beside the module's own.
pub(crate) struct Claims {
    pub(crate) nonce: Vec<u8>,
    pub(crate) user_data: Vec<u8>,
    pub(crate) pcr0: [u8; 48],
    pub(crate) timestamp_ms: u64,
}

impl Claims {
    pub(crate) fn now(nonce: &[u8], user_data: Vec<u8>) -> Self {
        Self {
            nonce: nonce.to_vec(),
            user_data,
            pcr0: PCR0,
            timestamp_ms: now_ms(),
        }
    }
}

impl Attester {
    pub(crate) fn new() -> Self {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut root = params("root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let issuer = Issuer::new(root, root_key);
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut leaf = params("leaf");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf_der = leaf.signed_by(&leaf_key, &issuer).unwrap().der().to_vec();
        let pkcs8 = leaf_key.serialize_der();
        Self {
            root: root_der,
            leaf: leaf_der,
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8).unwrap(),
        }
    }

    pub(crate) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::from_der(&self.root).unwrap()
    }

    pub(crate) fn root_pem(&self) -> String {
        let body = STANDARD.encode(&self.root);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    pub(crate) fn document(&self, claims: Claims) -> Vec<u8> {
        let pcr = |index: u8| {
            let value = if index == 0 {
                claims.pcr0
            } else {
                [index + 1; 48]
            };
            (Value::from(index), Value::Bytes(value.to_vec()))
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let payload = Value::Map(vec![
            (text("module_id"), text("i-test-enc")),
            (text("digest"), text("SHA384")),
            (text("timestamp"), Value::from(claims.timestamp_ms)),
            (text("pcrs"), Value::Map((0..17).map(pcr).collect())),
            (text("certificate"), Value::Bytes(self.leaf.clone())),
            (
                text("cabundle"),
                Value::Array(vec![Value::Bytes(self.root.clone())]),
            ),
            (text("public_key"), Value::Null),
            (text("user_data"), Value::Bytes(claims.user_data)),
            (text("nonce"), Value::Bytes(claims.nonce)),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&payload, &mut bytes).unwrap();
        let protected = HeaderBuilder::new().algorithm(iana::Algorithm::ES384);
        CoseSign1Builder::new()
            .protected(protected.build())
            .payload(bytes)
            .create_signature(&[], |message| {
                let signature = self.key.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            })
            .build()
            .to_vec()
            .unwrap()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
