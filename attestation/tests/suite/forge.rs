//! An NSM that signs whatever it is told to, under a root of its own.
use core::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use ciborium::Value;
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
use dauth_attestation::{
    AgeRule, Appraisal, AttestationResult, Error, Images, NonceRule, Policy, TrustAnchors, appraise,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};

/// When the documents are made and, unless said otherwise, judged.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const NOW_MS: u64 = NOW_S * 1000;

pub(crate) const ROOT: usize = 0;
pub(crate) const REGIONAL: usize = 1;
pub(crate) const ZONAL: usize = 2;
pub(crate) const INSTANCE: usize = 3;
pub(crate) const LEAF: usize = 4;
const LEVELS: [usize; 5] = [ROOT, REGIONAL, ZONAL, INSTANCE, LEAF];

#[derive(Clone, Copy)]
pub(crate) enum MapForm {
    Definite,
    Indefinite,
    /// The payload, and what is in it: pcrs and cabundle.
    AllIndefinite,
}

pub(crate) struct Forge {
    pub(crate) anchors: TrustAnchors,
    pub(crate) root_pem: String,
    pub(crate) map_form: MapForm,
    pub(crate) fields: Vec<(Value, Value)>,
    key: EcdsaKeyPair,
}

impl Forge {
    /// A document to which there is no objection.
    pub(crate) fn new() -> Self {
        Self::with_certificates(|_| {})
    }

    /// The same, after `edit` of the certificates: root, regional, zonal, instance, leaf.
    pub(crate) fn with_certificates(edit: impl FnOnce(&mut [CertificateParams; 5])) -> Self {
        let mut params = LEVELS.map(certificate);
        edit(&mut params);
        Self::build(&params, &LEVELS.map(|_| key(&PKCS_ECDSA_P384_SHA384)))
    }

    /// The same with a key of another algorithm in one certificate.
    pub(crate) fn with_key_of(level: usize, algorithm: &'static SignatureAlgorithm) -> Self {
        let mut keys = LEVELS.map(|_| key(&PKCS_ECDSA_P384_SHA384));
        keys[level] = key(algorithm);
        Self::build(&LEVELS.map(certificate), &keys)
    }

    fn build(params: &[CertificateParams; 5], keys: &[KeyPair; 5]) -> Self {
        let mut chain: Vec<Vec<u8>> = Vec::new();
        let mut root_pem = String::new();
        for (index, subject) in params.iter().enumerate() {
            let above = index.saturating_sub(1);
            let issuer = Issuer::from_params(&params[above], &keys[above]);
            let certificate = subject.signed_by(&keys[index], &issuer);
            let certificate = certificate.expect("certificate");
            if index == ROOT {
                root_pem = certificate.pem();
            }
            chain.push(certificate.der().to_vec());
        }
        // Who has another key in the certificate signs with this one all the same.
        let own = keys[LEAF].is_compatible(&PKCS_ECDSA_P384_SHA384);
        let signer = if own {
            keys[LEAF].serialize_der()
        } else {
            key(&PKCS_ECDSA_P384_SHA384).serialize_der()
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &signer);
        let leaf = chain.pop().expect("leaf");
        let pcr = |(index, byte): (u16, u8)| (Value::from(index), bytes(&[byte; 48]));
        let pcrs = (0..16).map(|index| (index, if index < 3 { 0x5a } else { 0 }));
        let fields = [
            ("module_id", Value::from("i-forged-enc0")),
            ("digest", Value::from("SHA384")),
            ("timestamp", Value::from(NOW_MS)),
            ("pcrs", Value::Map(pcrs.map(pcr).collect())),
            ("certificate", bytes(&leaf)),
            (
                "cabundle",
                Value::Array(chain.iter().map(|der| bytes(der)).collect()),
            ),
            ("public_key", Value::Null),
            ("user_data", Value::Null),
            ("nonce", Value::Null),
        ];
        Self {
            anchors: TrustAnchors::from_der(&chain[ROOT]).expect("root"),
            root_pem,
            map_form: MapForm::Indefinite,
            fields: fields
                .into_iter()
                .map(|(key, value)| (Value::from(key), value))
                .collect(),
            key: key.expect("signing key"),
        }
    }

    pub(crate) fn get(&mut self, key: &str) -> &mut Value {
        let field = self
            .fields
            .iter_mut()
            .find(|field| field.0 == Value::from(key));
        &mut field.expect("field").1
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        *self.get(key) = value.into();
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.fields.retain(|field| field.0 != Value::from(key));
    }

    pub(crate) fn cabundle(&mut self) -> &mut Vec<Value> {
        self.get("cabundle").as_array_mut().expect("array")
    }

    pub(crate) fn pcrs(&mut self) -> &mut Vec<(Value, Value)> {
        self.get("pcrs").as_map_mut().expect("map")
    }

    pub(crate) fn document(&self) -> Vec<u8> {
        let count = u8::try_from(self.fields.len()).expect("few fields");
        let mut payload = match self.map_form {
            MapForm::Definite => vec![0xa0 | count],
            MapForm::Indefinite | MapForm::AllIndefinite => vec![0xbf],
        };
        for (key, value) in &self.fields {
            encode(key, &mut payload);
            match (self.map_form, value) {
                (MapForm::AllIndefinite, Value::Map(pairs)) => {
                    payload.push(0xbf);
                    for (key, value) in pairs {
                        encode(key, &mut payload);
                        encode(value, &mut payload);
                    }
                    payload.push(0xff);
                }
                (MapForm::AllIndefinite, Value::Array(items)) => {
                    payload.push(0x9f);
                    items.iter().for_each(|item| encode(item, &mut payload));
                    payload.push(0xff);
                }
                _ => encode(value, &mut payload),
            }
        }
        if !matches!(self.map_form, MapForm::Definite) {
            payload.push(0xff);
        }
        self.sign(payload)
    }

    pub(crate) fn sign(&self, payload: Vec<u8>) -> Vec<u8> {
        let random = SystemRandom::new();
        CoseSign1Builder::new()
            .protected(
                HeaderBuilder::new()
                    .algorithm(iana::Algorithm::ES384)
                    .build(),
            )
            .payload(payload)
            .create_signature(&[], |message| {
                let signature = self.key.sign(&random, message).expect("signature");
                signature.as_ref().to_vec()
            })
            .build()
            .to_vec()
            .expect("document")
    }

    pub(crate) fn judge(&self) -> Result<AttestationResult, Error> {
        self.judge_at(NOW_MS, &anything())
    }

    pub(crate) fn judge_at(
        &self,
        now_ms: u64,
        policy: &Policy,
    ) -> Result<AttestationResult, Error> {
        let appraisal = Appraisal {
            anchors: &self.anchors,
            policy,
            now_ms,
        };
        appraise(&self.document(), &appraisal)
    }
}

/// The policy that leaves form, chain and signature to be judged, and debug mode.
pub(crate) fn anything() -> Policy {
    Policy {
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        ..Policy::new(Images::Unconstrained)
    }
}

fn encode(value: &Value, payload: &mut Vec<u8>) {
    ciborium::into_writer(value, payload).expect("value");
}

pub(crate) fn bytes(content: &[u8]) -> Value {
    Value::Bytes(content.to_vec())
}

/// Sets the first and the last second of validity.
pub(crate) fn valid(params: &mut CertificateParams, from_s: u64, until_s: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from_s);
    params.not_after = epoch + Duration::from_secs(until_s);
}

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("key")
}

fn certificate(index: usize) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("forged {index}"));
    valid(&mut params, NOW_S - 3600, NOW_S + 3600);
    if index == LEAF {
        valid(&mut params, NOW_S, NOW_S + 3 * 3600);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    } else {
        let below = u8::try_from(INSTANCE - index).expect("small");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    params
}
