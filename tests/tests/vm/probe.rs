//! What the module of a machine says, by way of `dauth-nsm-probe`.
use std::{
    io::{Read, Write},
    sync::Arc,
};

use ciborium::Value;
use dauth_enclave::platform::{Attester, AttesterError, Claims, PcrState};
use dauth_protocol::measurement::Pcr;
use dauth_tests::vm::Machine;
use serde_json::json;

const PORT: u32 = 5002;

/// The module of a machine, from outside.
pub(crate) struct Probe(pub(crate) Arc<Machine>);

impl Attester for Probe {
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError> {
        let request = json!({
            "user_data": hex::encode(&claims.user_data),
            "nonce": hex::encode(&claims.nonce),
            "public_key": hex::encode(&claims.public_key),
        });
        let mut stream = self.0.connect(PORT).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let document = answer["document"].as_str();
        let document = document.ok_or(AttesterError::Refused)?;
        Ok(hex::decode(document).unwrap())
    }

    fn random(&self, _: &mut [u8]) -> Result<(), AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn describe_pcr(&self, _: u16) -> Result<PcrState, AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn extend_pcr(&self, _: u16, _: &[u8]) -> Result<Pcr, AttesterError> {
        Err(AttesterError::Unavailable)
    }

    fn lock_pcrs(&self, _: u16) -> Result<(), AttesterError> {
        Err(AttesterError::Unavailable)
    }
}

/// A document read without any check: nothing that verifies it would let its fields be seen.
pub(crate) struct Unverified {
    payload: Vec<(Value, Value)>,
}

impl Unverified {
    pub(crate) fn read(document: &[u8]) -> Self {
        let signed: Value = ciborium::from_reader(document).unwrap();
        let signed = match signed {
            Value::Tag(_, inner) => *inner,
            untagged => untagged,
        };
        let payload = signed.as_array().unwrap()[2].as_bytes().unwrap().clone();
        let payload: Value = ciborium::from_reader(payload.as_slice()).unwrap();
        Self {
            payload: payload.into_map().unwrap(),
        }
    }

    fn field(&self, name: &str) -> &Value {
        let found = self
            .payload
            .iter()
            .find(|(key, _)| key.as_text() == Some(name));
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    /// A field of bytes.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.field(name).as_bytes().unwrap()
    }

    /// A register.
    pub(crate) fn pcr(&self, index: u16) -> Pcr {
        let registers = self.field("pcrs").as_map().unwrap();
        let found = registers
            .iter()
            .find(|(key, _)| key.as_integer() == Some(index.into()));
        let value = found
            .unwrap_or_else(|| panic!("no PCR{index}"))
            .1
            .as_bytes();
        let value: [u8; 48] = value.unwrap().as_slice().try_into().unwrap();
        value.into()
    }
}
