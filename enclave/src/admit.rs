//! Admission: an owner's envelope in, a record and a signed receipt out.
//!
//! No upstream is contacted. What the envelope says must agree with the owner's token in every
//! field, and the credential must have the form that its policy can inject.
mod secret_form;

use dauth_protocol::{Code, EnvelopeHeader, Policy, RecordHeader, limit::MAX_ENVELOPE_LIFE_S};
use dauth_sealing::{RecipientKey, SealedEnvelope};

use crate::{
    authorize::Authenticated,
    deposit::{Deposit, DepositError, DepositKeys},
    keyset::Keeper,
    open::Versions,
    refusal::Refusal,
    serving::generation_with,
};

/// The longest life of a record that an owner may ask for.
pub(crate) const MAX_RECORD_LIFE_S: u64 = 366 * 24 * 3600;

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

/// Admits an envelope with the enclave's keys.
pub async fn admit(keeper: &Keeper, admission: &Admission<'_>) -> Result<Deposit, Refusal> {
    let (envelope, policy) = check(admission)?;
    let id = envelope.recipient_id();
    let serving = generation_with(keeper, |keyset| keyset.recipient(id).is_some()).await?;
    let keyset = serving.keyset();
    let recipient = keyset.recipient(id).ok_or(OTHER_KEY)?;
    let keys = DepositKeys::of(keyset);
    reseal(admission, envelope, &policy, recipient, &keys)
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
    keys: &DepositKeys<'_>,
) -> Result<Deposit, Refusal> {
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
    keys.deposit(&record_header, &secret, admission.now_s)
        .map_err(|error| match error {
            DepositError::TooLong => invalid("the envelope's content is too long for a record"),
            DepositError::Unable => UNABLE,
        })
}

const UNABLE: Refusal = Refusal::new(
    Code::EnclaveUnavailable,
    "the enclave could not seal or sign; try again",
);

fn invalid(detail: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests;
