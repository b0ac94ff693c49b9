//! Keys that sign, and tokens with any one thing wrong.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dauth_token::{Jwk, SignError, Signer};
use serde_json::Value;

/// A key pair of either algorithm, with its PKCS #8 form for other implementations.
pub(crate) struct Key {
    pair: Pair,
    jwk: Jwk,
    pub(crate) pkcs8: Vec<u8>,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            jwk: Jwk::from_p256_uncompressed(pair.public_key().as_ref()).unwrap(),
            pkcs8: pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            pair: Pair::P256(pair),
        }
    }

    pub(crate) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self {
            jwk: Jwk::from_ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap(),
            pkcs8: pkcs8.as_ref().to_vec(),
            pair: Pair::Ed25519(pair),
        }
    }

    /// The DER form of an ECDSA signature, which JWS does not use.
    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8)
            .unwrap()
            .sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

impl Signer for Key {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.pair {
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignError),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// Signs whatever it is given.
pub(crate) fn sign_text(header: &str, payload: &str, key: &Key) -> String {
    let input = signing_input(header, payload);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

pub(crate) fn sign_json(header: &Value, payload: &Value, key: &Key) -> String {
    sign_text(&header.to_string(), &payload.to_string(), key)
}

pub(crate) fn signing_input(header: &str, payload: &str) -> String {
    let encode = |text| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", encode(header), encode(payload))
}

/// `object` with one member changed.
pub(crate) fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[name] = value;
    object
}

/// `object` without a member.
pub(crate) fn without(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(name);
    object
}
