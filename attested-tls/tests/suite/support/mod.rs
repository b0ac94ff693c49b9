//! A fake attester, and a peer that serves evidence over TLS.
mod attester;
pub(crate) mod peer;

pub(crate) use attester::{Attester, Claims};
pub(crate) use peer::{Peer, Reply, TlsIdentity};

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attestation::{Images, ReferenceValues};
use dauth_attested_tls::{Custody, Expectations, KeysetMemory};
use dauth_protocol::{KeyConfiguration, deployment::KeyPolicyRule, key_configuration::GuardingKey};

pub(crate) const AUDIENCE: &str = "https://enclave.example";
pub(crate) const PCR0: [u8; 48] = [0x5a; 48];

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

pub(crate) fn expectations(attester: &Attester) -> Expectations {
    Expectations {
        anchors: attester.anchors(),
        images: Images::AnyOf(vec![ReferenceValues::new().with_pcr(0, &PCR0)]),
        audience: AUDIENCE.to_owned(),
        max_age: Duration::from_secs(60),
        custody: Custody::Any,
        keysets: Arc::new(KeysetMemory::in_process()),
    }
}

pub(crate) fn key_configuration(tls_key: &[u8]) -> KeyConfiguration {
    KeyConfiguration {
        version: 1,
        purpose: KeyConfiguration::PURPOSE.to_owned(),
        tls_key: tls_key.to_vec(),
        recipients: Vec::new(),
        receipt_key: Vec::new(),
        former_receipt_keys: Vec::new(),
        keyset_id: vec![3; 16],
        generation: 1,
        history: Vec::new(),
        kms_key: GuardingKey {
            arn: "arn:aws:kms:eu-west-1:000000000000:key/k".to_owned(),
            policy: KeyPolicyRule::Unchecked,
        },
        audience: AUDIENCE.to_owned(),
        build: "test".to_owned(),
    }
}
