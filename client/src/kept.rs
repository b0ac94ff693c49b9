//! The policy in force, taken from a stored record.
//!
//! The control plane returns record and receipt, and is not believed: the receipt is the
//! enclave's, it names the record, and the policy stands in the record's header. A control plane
//! can have a record of its own admitted, with a token that it issues itself: hence whose record it
//! is counts as much as who vouches for it.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use coset::{CborSerializable as _, CoseEncrypt0, Label, cbor::Value};
use dauth_protocol::{
    Handle, KeyConfiguration, Owner, Policy, RecordHeader, limit::MAX_RECORD_BYTES,
    policy::InvalidPolicy, receipt::Admitted,
};

use crate::{AdmittedRecord, ExpectedAdmission, ReceiptError, ReceiptSigner};

/// The protected header parameter that holds a record's header.
const DAUTH: &str = "dauth";

/// Why the policy in force is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptPolicyError {
    /// The control plane returned no record or no receipt.
    #[error("the control plane does not return the stored record")]
    NotReturned,
    /// The record is not a COSE_Encrypt0 with a record's header.
    #[error("the stored record is malformed")]
    Malformed,
    /// The record is not one that this enclave admitted.
    #[error("the stored record is not vouched for: {0}")]
    NotVouchedFor(#[from] ReceiptError),
    /// The record is another owner's, another connection's or of another version: the enclave
    /// admitted it, but not for this owner's key.
    #[error("the stored record is not of this owner's connection")]
    AnothersRecord,
    /// The record holds no valid policy.
    #[error("{0}")]
    Policy(#[from] InvalidPolicy),
}

/// What a stored record must be, to be this owner's.
#[derive(Clone, Copy)]
pub(crate) struct OwnRecord<'a> {
    pub(crate) handle: &'a Handle,
    pub(crate) version: u64,
    pub(crate) owner: &'a Owner,
    pub(crate) tenant: &'a str,
}

/// The policy of a stored record, once it is this owner's and the receipt vouches for it.
pub(crate) fn policy_of(
    stored: &Admitted,
    own: &OwnRecord<'_>,
    keys: &KeyConfiguration,
) -> Result<Policy, KeptPolicyError> {
    let record = STANDARD
        .decode(&stored.record)
        .ok()
        .filter(|record| record.len() <= MAX_RECORD_BYTES)
        .ok_or(KeptPolicyError::Malformed)?;
    let header = header_of(&record).ok_or(KeptPolicyError::Malformed)?;
    let expected = ExpectedAdmission {
        handle: own.handle,
        policy: &header.policy,
        version: own.version,
        signer: ReceiptSigner::Any(keys),
    };
    AdmittedRecord::verify(stored, &expected)?;
    let is_own = header.owner == *own.owner
        && header.tenant == own.tenant
        && header.handle == *own.handle
        && header.version == own.version;
    if !is_own {
        return Err(KeptPolicyError::AnothersRecord);
    }
    Ok(Policy::from_json(&header.policy)?)
}

fn header_of(record: &[u8]) -> Option<RecordHeader> {
    let object = CoseEncrypt0::from_slice(record).ok()?;
    let parameters = object.protected.header.rest.into_iter();
    let bytes = parameters
        .filter(|(label, _)| label == &Label::Text(DAUTH.to_owned()))
        .find_map(|(_, value)| match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        })?;
    RecordHeader::from_cbor(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use coset::{CoseEncrypt0Builder, HeaderBuilder, iana};
    use dauth_protocol::{AdmissionReceipt, Fingerprint};
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::receipt::tests::{Enclave, handle};

    const POLICY: &str = r#"{"version":1,"base_url":"https://api.example","injection":{"kind":"bearer"},"rules":[]}"#;

    fn owner(thumbprint: &str) -> Owner {
        Owner {
            issuer: "i".into(),
            subject: "s".into(),
            thumbprint: thumbprint.into(),
        }
    }

    fn kept(
        stored: &Admitted,
        version: u64,
        tenant: &str,
        enclave: &Enclave,
    ) -> Result<Policy, KeptPolicyError> {
        let own = OwnRecord {
            handle: &handle(),
            version,
            owner: &owner("t"),
            tenant,
        };
        policy_of(stored, &own, &enclave.keys())
    }

    fn record(policy: &str) -> Vec<u8> {
        record_of("t", policy)
    }

    fn record_of(thumbprint: &str, policy: &str) -> Vec<u8> {
        let header = RecordHeader {
            layout: 1,
            handle: handle(),
            owner: owner(thumbprint),
            tenant: "o".into(),
            policy: ByteBuf::from(policy),
            version: 2,
            created: 1,
            expires: 2,
        };
        let protected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::A256GCM)
            .text_value(DAUTH.to_owned(), Value::Bytes(header.to_cbor()))
            .build();
        CoseEncrypt0Builder::new()
            .protected(protected)
            .ciphertext(vec![7; 32])
            .build()
            .to_vec()
            .unwrap()
    }

    fn stored(record: &[u8], receipt_for: &[u8], enclave: &Enclave) -> Admitted {
        let claims = AdmissionReceipt {
            layout: 1,
            purpose: AdmissionReceipt::PURPOSE.to_owned(),
            handle: handle(),
            policy_sha256: ByteBuf::from(*Fingerprint::of(POLICY.as_bytes()).as_bytes()),
            fingerprint: ByteBuf::from(*Fingerprint::of(receipt_for).as_bytes()),
            version: 2,
            admitted: 1,
        };
        Admitted {
            record: STANDARD.encode(record),
            receipt: STANDARD.encode(enclave.receipt(&claims, iana::Algorithm::ES256)),
        }
    }

    #[test]
    fn the_policy_that_the_receipt_vouches_for_is_kept() {
        let (enclave, record) = (Enclave::new(), record(POLICY));
        let admitted = stored(&record, &record, &enclave);
        let kept = kept(&admitted, 2, "o", &enclave).unwrap();
        assert_eq!(kept, Policy::from_json(POLICY.as_bytes()).unwrap());
    }

    #[test]
    fn a_policy_that_the_control_plane_made_up_is_not() {
        let enclave = Enclave::new();
        let wider = record(&POLICY.replace("api.example", "evil.example"));
        let made_up = [
            stored(&wider, &wider, &enclave),
            stored(&wider, &record(POLICY), &enclave),
            stored(&record(POLICY), &record(POLICY), &Enclave::new()),
        ];
        for admitted in made_up {
            let refused = kept(&admitted, 2, "o", &enclave);
            assert!(matches!(refused, Err(KeptPolicyError::NotVouchedFor(_))));
        }
        let older = stored(&record(POLICY), &record(POLICY), &enclave);
        let refused = kept(&older, 3, "o", &enclave);
        assert_eq!(
            refused,
            Err(KeptPolicyError::NotVouchedFor(ReceiptError::Version))
        );
        let malformed = Admitted {
            record: STANDARD.encode("x"),
            receipt: String::new(),
        };
        let refused = kept(&malformed, 2, "o", &enclave);
        assert_eq!(refused, Err(KeptPolicyError::Malformed));
    }

    /// The attack: a compromised control plane issues itself an owner's token for a key of its own,
    /// has a wider policy admitted under the victim's handle, and serves that for a rotation.
    #[test]
    fn a_record_that_the_enclave_admitted_for_another_key_or_tenant_is_not() {
        let enclave = Enclave::new();
        let theirs = record_of("another key", POLICY);
        let admitted = stored(&theirs, &theirs, &enclave);
        let refused = kept(&admitted, 2, "o", &enclave);
        assert_eq!(refused, Err(KeptPolicyError::AnothersRecord));
        let own = stored(&record(POLICY), &record(POLICY), &enclave);
        let refused = kept(&own, 2, "another tenant", &enclave);
        assert_eq!(refused, Err(KeptPolicyError::AnothersRecord));
    }
}
