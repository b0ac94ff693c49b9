//! Seal, admit, verify: from a credential to a record that an enclave vouches for.
use std::time::Duration;

use dauth_attested_tls::EndorsedKeys;
use dauth_dispatch::{AccessToken, DpopKey, EnclaveClient};
use dauth_protocol::{
    EnvelopeHeader, Handle, Owner as OwnerIdentity, Policy, key_configuration::Kem,
    limit::MIN_SECRET_BYTES,
};
use dauth_sealing::{AttestedRecipientKey, Sealer, Secret};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use tokio::time::sleep;

use crate::{
    AdmittedRecord, ExpectedAdmission, OwnerError, ReceiptError, ReceiptSigner, clock::now_s,
    random::SystemSource,
};

/// An envelope is admitted at once; half of the permitted life leaves room for clocks that differ.
const ENVELOPE_LIFE_S: u64 = 300;

/// Before an admission is tried again: an enclave looks for new keys each second.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_millis(700),
    Duration::from_millis(1500),
];

/// A credential with all that it is sealed under.
pub(crate) struct Sealing<'a> {
    pub(crate) handle: &'a Handle,
    pub(crate) policy: &'a Policy,
    pub(crate) version: u64,
    pub(crate) expires: u64,
    pub(crate) secret: &'a Secret,
}

/// Whose credential, and how he proves it.
pub(crate) struct Prover<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) token: &'a AccessToken,
    pub(crate) key: &'a DpopKey,
}

/// What is read of the owner's own token: the enclave, which verifies it, compares.
#[derive(Deserialize)]
struct OwnClaims {
    iss: String,
    sub: String,
    #[serde(rename = "ddls:org")]
    org: Option<String>,
    #[serde(rename = "ddls:owner", default)]
    owner: bool,
}

pub(crate) fn check_secret(secret: &Secret) -> Result<(), OwnerError> {
    if secret.expose().len() < MIN_SECRET_BYTES {
        Err(OwnerError::ShortSecret)
    } else {
        Ok(())
    }
}

/// Seals to attested keys and has it admitted.
///
/// The enclave may have replaced its keys since the evidence was fetched, or another one of its
/// fleet, which is a moment behind, may have answered: the receipt is then under another key than
/// the attested one, nothing is stored, and all of it is done again with the keys of then.
pub(crate) async fn admit(
    enclave: &EnclaveClient,
    keys: &EndorsedKeys,
    sealing: &Sealing<'_>,
    prover: &Prover<'_>,
) -> Result<AdmittedRecord, OwnerError> {
    let mut admitted = admit_once(enclave, keys, sealing, prover).await;
    for pause in PAUSES {
        if !matches!(admitted, Err(OwnerError::Receipt(ReceiptError::Signature))) {
            break;
        }
        sleep(pause).await;
        let keys = enclave.evidence().await?;
        admitted = admit_once(enclave, &keys, sealing, prover).await;
    }
    admitted
}

async fn admit_once(
    enclave: &EnclaveClient,
    keys: &EndorsedKeys,
    sealing: &Sealing<'_>,
    prover: &Prover<'_>,
) -> Result<AdmittedRecord, OwnerError> {
    check_secret(sealing.secret)?;
    let policy = sealing.policy.to_json()?;
    let (owner, tenant) = identity(prover)?;
    let header = EnvelopeHeader {
        layout: 1,
        handle: sealing.handle.clone(),
        owner,
        tenant,
        audience: enclave.resource().to_owned(),
        policy: ByteBuf::from(policy.clone()),
        version: sealing.version,
        expires: now_s()?.saturating_add(ENVELOPE_LIFE_S),
        record_expires: sealing.expires,
    };
    let recipient = AttestedRecipientKey::select(
        keys.attestation_result(),
        keys.key_configuration_bytes(),
        preferred_kem(keys),
    )?;
    let envelope = Sealer::new(recipient).seal(&header, sealing.secret, &mut SystemSource)?;
    let admitted = enclave.admit(envelope, prover.token, prover.key).await?;
    let expected = ExpectedAdmission {
        handle: sealing.handle,
        policy: &policy,
        version: sealing.version,
        signer: ReceiptSigner::Current(keys.key_configuration()),
    };
    Ok(AdmittedRecord::verify(&admitted, &expected)?)
}

/// The post-quantum one, unless the enclave prefers and attests another.
fn preferred_kem(keys: &EndorsedKeys) -> Kem {
    let first = keys.key_configuration().recipients.first();
    first.map_or(Kem::MlKem768X25519, |key| key.kem)
}

/// Who the owner is, as the issuer names him in his own token and by his own key.
pub(crate) fn identity(prover: &Prover<'_>) -> Result<(OwnerIdentity, String), OwnerError> {
    let claims: OwnClaims = prover
        .token
        .unverified_claims()
        .ok_or(OwnerError::Claims("iss and sub"))?;
    // RFC 9068 section 4: compared byte for byte.
    if claims.iss != prover.issuer {
        return Err(OwnerError::Claims("the iss of the profile's issuer"));
    }
    if !claims.owner {
        return Err(OwnerError::Claims("ddls:owner"));
    }
    let owner = OwnerIdentity {
        issuer: claims.iss,
        subject: claims.sub,
        thumbprint: prover.key.thumbprint().as_str().to_owned(),
    };
    Ok((owner, claims.org.ok_or(OwnerError::Claims("ddls:org"))?))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn identity_of(claims: &str) -> Result<(OwnerIdentity, String), OwnerError> {
        let token = AccessToken::new(format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims)));
        identity(&Prover {
            issuer: "https://as.example",
            token: &token,
            key: &DpopKey::generate().unwrap(),
        })
    }

    #[test]
    fn the_owner_is_whom_the_token_names() {
        let claims =
            r#"{"iss":"https://as.example","sub":"s1","ddls:org":"o1","ddls:owner":true,"x":1}"#;
        let (owner, tenant) = identity_of(claims).unwrap();
        assert_eq!((owner.subject.as_str(), tenant.as_str()), ("s1", "o1"));
        for (from, to) in [
            ("as.example", "as.example/"),
            ("\"sub\"", "\"sup\""),
            ("ddls:org", "ddls:0rg"),
            (":true", ":false"),
        ] {
            let refused = identity_of(&claims.replace(from, to));
            assert!(matches!(refused, Err(OwnerError::Claims(_))), "{from}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_before_anything_is_sent() {
        assert!(check_secret(&Secret::new(vec![b'x'; MIN_SECRET_BYTES]).unwrap()).is_ok());
        let short = Secret::new(vec![b'x'; MIN_SECRET_BYTES - 1]).unwrap();
        assert!(matches!(check_secret(&short), Err(OwnerError::ShortSecret)));
    }
}
