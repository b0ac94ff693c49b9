//! Admission: an owner's envelope in, a record and a signed receipt out.
//!
//! No upstream is contacted. What the envelope says must agree with the owner's token in every
//! field, and the credential must have the form that its policy can inject.
mod secret_form;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
use dauth_protocol::{
    AdmissionReceipt, Code, EnvelopeHeader, Fingerprint, Policy, RecordHeader,
    limit::MAX_ENVELOPE_LIFE_S, receipt::Admitted,
};
use dauth_sealing::{RecipientKey, RecordKey, SealedEnvelope};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use crate::{authorize::Authenticated, keyset::Keyset, open::Versions, refusal::Refusal};

/// The longest life of a record that an owner may ask for.
const MAX_RECORD_LIFE_S: u64 = 366 * 24 * 3600;

/// A request to admit.
#[derive(Clone, Copy)]
pub struct Admission<'a> {
    /// Who asks: an owner.
    pub caller: &'a Authenticated,
    /// The envelope's bytes.
    pub envelope: &'a [u8],
    /// This enclave's resource identifier.
    pub audience: &'a str,
    /// The versions used since boot.
    pub versions: &'a Versions,
    /// Now: Unix seconds.
    pub now_s: u64,
}

/// What a receipt says of an admission, and the event that the operator sees.
#[derive(Clone, Debug)]
pub struct Admitting {
    /// The reply.
    pub reply: Admitted,
    /// The receipt's content.
    pub receipt: AdmissionReceipt,
}

/// Admits an envelope with the enclave's keys.
pub fn admit(keyset: &Keyset, admission: &Admission<'_>) -> Result<Admitting, Refusal> {
    let (envelope, policy) = check(admission)?;
    let recipient = keyset.recipient(envelope.recipient_id()).ok_or(OTHER_KEY)?;
    let (record, receipt) = reseal(admission, envelope, &policy, recipient, keyset.record_key())?;
    let signed = sign(&receipt, |message| {
        let signature = keyset.receipt_key().sign(message).ok()?;
        Some(signature.to_vec())
    })?;
    Ok(Admitting {
        reply: Admitted {
            record: BASE64_STANDARD.encode(record),
            receipt: BASE64_STANDARD.encode(signed),
        },
        receipt,
    })
}

const OTHER_KEY: Refusal = Refusal::new(
    Code::DecryptionFailed,
    "the envelope is sealed to a key that this enclave does not have; fetch its evidence again",
);

/// All that can be refused before anything is decrypted.
fn check(admission: &Admission<'_>) -> Result<(SealedEnvelope, Policy), Refusal> {
    let owner = admission.caller.owner().ok_or(Refusal::new(
        Code::InvalidToken,
        "admission needs an owner's access token",
    ))?;
    let envelope = SealedEnvelope::parse(admission.envelope)
        .map_err(|_| invalid("the body is not an envelope that this build reads"))?;
    let header = envelope.header();
    if header.owner != owner {
        return Err(Refusal::new(
            Code::InvalidToken,
            "the envelope names another owner than the token and its proof",
        ));
    }
    if header.tenant != admission.caller.tenant() {
        return Err(Refusal::new(
            Code::OrgMismatch,
            "the envelope names another tenant than the token",
        ));
    }
    if header.audience != admission.audience {
        return Err(invalid("the envelope is addressed to another enclave"));
    }
    check_times(header, admission.now_s)?;
    let highest = admission.versions.highest(&owner, &header.handle);
    if header.version == 0 || highest.is_some_and(|highest| header.version <= highest) {
        return Err(invalid(
            "the envelope's version is not higher than the connection's",
        ));
    }
    let policy = Policy::from_json(&header.policy)
        .map_err(|_| invalid("the envelope's policy is not one that this build enforces"))?;
    Ok((envelope, policy))
}

fn check_times(header: &EnvelopeHeader, now_s: u64) -> Result<(), Refusal> {
    if header.expires <= now_s {
        return Err(invalid("the envelope has expired; seal it again"));
    }
    if header.expires > now_s.saturating_add(MAX_ENVELOPE_LIFE_S) {
        return Err(invalid(
            "the envelope's expiry is more than ten minutes ahead",
        ));
    }
    if header.record_expires <= now_s {
        return Err(invalid("the connection would have expired already"));
    }
    if header.record_expires > now_s.saturating_add(MAX_RECORD_LIFE_S) {
        return Err(invalid("the connection's expiry is more than a year ahead"));
    }
    Ok(())
}

/// Opens the envelope and seals its secret again under the record key.
fn reseal(
    admission: &Admission<'_>,
    envelope: SealedEnvelope,
    policy: &Policy,
    recipient: &RecipientKey,
    record_key: &RecordKey,
) -> Result<(Vec<u8>, AdmissionReceipt), Refusal> {
    let header = envelope.header().clone();
    let secret = envelope.open(recipient).map_err(|_| {
        Refusal::new(
            Code::DecryptionFailed,
            "the envelope does not open; it was altered or made for another key",
        )
    })?;
    secret_form::check(&policy.injection, secret.expose())?;
    let record_header = RecordHeader {
        layout: 1,
        handle: header.handle,
        owner: header.owner,
        tenant: header.tenant,
        policy: header.policy,
        version: header.version,
        created: admission.now_s,
        expires: header.record_expires,
    };
    let mut nonce = [0; 12];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| UNABLE)?;
    let record = record_key
        .seal(&record_header, &secret, nonce)
        .map_err(|_| invalid("the envelope's content is too long for a record"))?;
    let receipt = AdmissionReceipt {
        layout: 1,
        purpose: AdmissionReceipt::PURPOSE.to_owned(),
        handle: record_header.handle,
        policy_sha256: ByteBuf::from(Sha256::digest(&record_header.policy).to_vec()),
        fingerprint: ByteBuf::from(Fingerprint::of(&record).as_bytes().to_vec()),
        version: record_header.version,
        admitted: admission.now_s,
    };
    Ok((record, receipt))
}

const UNABLE: Refusal = Refusal::new(
    Code::EnclaveUnavailable,
    "the enclave could not seal or sign; try again",
);

/// An untagged COSE_Sign1 (RFC 9052 section 4.2) with ES256.
fn sign(
    receipt: &AdmissionReceipt,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Refusal> {
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES256)
        .build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(receipt.to_cbor())
        .try_create_signature(&[], |message| sign(message).ok_or(UNABLE))?
        .build()
        .to_vec()
        .map_err(|_| UNABLE)
}

fn invalid(detail: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests;
