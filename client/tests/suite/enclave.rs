//! An enclave that admits: with real sealing, and without any of the checks of the real one.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, iana};
use dauth_attested_tls::Evidence;
use dauth_protocol::{
    AdmissionReceipt, EnvelopeHeader, Fingerprint, KeyConfiguration, RecordHeader,
    key_configuration::Kem, receipt::Admitted,
};
use dauth_sealing::{RecipientKey, RecordKey, SealedEnvelope};
use http::Response;
use rand_core::{TryCryptoRng, TryRng};
use serde_bytes::ByteBuf;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::support::{Attester, Claims, Peer, TlsIdentity, key_configuration, peer::nonce_of};

/// What the enclave does to a receipt before it signs: nothing, when honest.
pub(crate) type Falsify = fn(&mut AdmissionReceipt);

pub(crate) struct Enclave {
    pub(crate) ingress: String,
    pub(crate) root_pem: String,
    pub(crate) keys: Arc<Keys>,
}

pub(crate) struct Keys {
    attester: Attester,
    recipient: RecipientKey,
    record: RecordKey,
    /// The last one signs.
    receipts: Mutex<Vec<EcdsaKeyPair>>,
    falsify: Falsify,
    /// When the next receipt key is made.
    pub(crate) rotation: Mutex<RotationTime>,
    /// What was admitted: header and secret.
    pub(crate) admitted: Mutex<Vec<(EnvelopeHeader, Vec<u8>)>>,
}

/// When an enclave replaces its receipt key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotationTime {
    Never,
    /// Between the evidence and the admission, once.
    BeforeAdmission,
    /// For one signature: the receipt is under a key that no evidence ever names.
    ForEachReceipt,
}

impl Enclave {
    pub(crate) async fn start(falsify: Falsify) -> Self {
        let recipient = RecipientKey::generate(Kem::MlKem768X25519, [9; 8], &mut Source).unwrap();
        let keys = Arc::new(Keys {
            attester: Attester::new(),
            recipient,
            record: RecordKey::new([8; 8], Zeroizing::new([1; 32])).unwrap(),
            receipts: Mutex::new(vec![receipt_key()]),
            falsify,
            rotation: Mutex::new(RotationTime::Never),
            admitted: Mutex::default(),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.unwrap();
        let ingress = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&keys);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keys = Arc::clone(&shared);
                let identity = TlsIdentity::new();
                let spki = identity.spki();
                tokio::spawn(Peer::new(identity).serve_on(stream, move |head, body| {
                    Response::new(match nonce_of(head) {
                        Some(nonce) => keys.evidence(&spki, &nonce),
                        None if head.uri.path() == "/v1/admit" => keys.admit(body),
                        None => head.uri.to_string().into_bytes(),
                    })
                }));
            }
        });
        let root_pem = keys.attester.root_pem();
        Self {
            ingress,
            root_pem,
            keys,
        }
    }
}

impl Keys {
    fn evidence(&self, tls_key: &[u8], nonce: &[u8]) -> Vec<u8> {
        let mut spkis: Vec<_> = self.receipts.lock().unwrap().iter().map(spki).collect();
        let configuration = KeyConfiguration {
            recipients: vec![self.recipient.public()],
            receipt_key: spkis.pop().unwrap(),
            former_receipt_keys: spkis.iter().cloned().map(ByteBuf::from).collect(),
            generation: spkis.len() as u64 + 1,
            ..key_configuration(tls_key)
        };
        let bytes = configuration.to_cbor();
        let claims = Claims::now(nonce, KeyConfiguration::user_data(&bytes));
        Evidence::to_json(&self.attester.document(claims), &bytes)
    }

    fn admit(&self, envelope: &[u8]) -> Vec<u8> {
        let envelope = SealedEnvelope::parse(envelope).unwrap();
        let header = envelope.header().clone();
        let secret = envelope.open(&self.recipient).unwrap();
        let record_header = RecordHeader {
            layout: 1,
            handle: header.handle.clone(),
            owner: header.owner.clone(),
            tenant: header.tenant.clone(),
            policy: header.policy.clone(),
            version: header.version,
            created: 1,
            expires: header.record_expires,
        };
        let nonce = [7; 12];
        let record = self.record.seal(&record_header, &secret, nonce).unwrap();
        let mut receipt = AdmissionReceipt {
            layout: 1,
            purpose: AdmissionReceipt::PURPOSE.to_owned(),
            handle: header.handle.clone(),
            policy_sha256: ByteBuf::from(*Fingerprint::of(&header.policy).as_bytes()),
            fingerprint: ByteBuf::from(*Fingerprint::of(&record).as_bytes()),
            version: header.version,
            admitted: 1,
        };
        (self.falsify)(&mut receipt);
        let rotation = {
            let mut rotation = self.rotation.lock().unwrap();
            match *rotation {
                RotationTime::BeforeAdmission => {
                    std::mem::replace(&mut *rotation, RotationTime::Never)
                }
                other => other,
            }
        };
        if rotation == RotationTime::BeforeAdmission {
            self.rotate();
        }
        let signed = match rotation {
            RotationTime::ForEachReceipt => {
                self.rotate();
                let signed = self.sign(&receipt);
                self.receipts.lock().unwrap().pop();
                signed
            }
            _ => self.sign(&receipt),
        };
        let secret = secret.expose().to_vec();
        self.admitted.lock().unwrap().push((header, secret));
        let admitted = Admitted {
            record: STANDARD.encode(record),
            receipt: STANDARD.encode(signed),
        };
        serde_json::to_vec(&admitted).unwrap()
    }

    pub(crate) fn rotate(&self) {
        self.receipts.lock().unwrap().push(receipt_key());
    }

    fn sign(&self, receipt: &AdmissionReceipt) -> Vec<u8> {
        let protected = HeaderBuilder::new().algorithm(iana::Algorithm::ES256);
        CoseSign1Builder::new()
            .protected(protected.build())
            .payload(receipt.to_cbor())
            .create_signature(&[], |message| {
                let receipts = self.receipts.lock().unwrap();
                let key = receipts.last().unwrap();
                let signature = key.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            })
            .build()
            .to_vec()
            .unwrap()
    }
}

fn receipt_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    let public = key.public_key();
    let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
    der.as_ref().to_vec()
}

/// The system's random source.
struct Source;

impl TryRng for Source {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        aws_lc_rs::rand::fill(bytes).unwrap();
        Ok(())
    }
}

impl TryCryptoRng for Source {}
