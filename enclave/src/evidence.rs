//! Evidence for relying parties: a document over their nonce and this enclave's keys.
use std::{sync::Arc, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dauth_protocol::{Code, KeyConfiguration, limit::EVIDENCE_NONCE_BYTES};
use serde::Serialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    platform::{Attester, Claims},
    refusal::Refusal,
};

/// Requests that may wait for the module. It serves one at a time, and KMS and clock need it too.
const MAX_WAITING: usize = 64;
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes evidence, one document at a time.
pub struct EvidenceService {
    attester: Arc<dyn Attester>,
    key_configuration: Vec<u8>,
    user_data: Vec<u8>,
    waiting: Semaphore,
    turn: Arc<Semaphore>,
}

/// The JSON reply to `GET /.well-known/dauth/evidence`.
#[derive(Debug, Serialize)]
pub struct Evidence {
    /// Which root of trust.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The attestation document: padded base64.
    document: String,
    /// The key configuration's CBOR: padded base64.
    key_configuration: String,
}

impl EvidenceService {
    /// Evidence for `key_configuration`.
    pub fn new(attester: Arc<dyn Attester>, key_configuration: &KeyConfiguration) -> Self {
        let key_configuration = key_configuration.to_cbor();
        let user_data = KeyConfiguration::user_data(&key_configuration);
        Self {
            attester,
            key_configuration,
            user_data,
            waiting: Semaphore::new(MAX_WAITING),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Evidence over the nonce in a query string: `nonce=<base64url, 16 to 64 bytes>`.
    pub async fn evidence(&self, query: Option<&str>) -> Result<Evidence, Refusal> {
        const BUSY: Refusal = Refusal::new(
            Code::EnclaveUnavailable,
            "too many requests for evidence are waiting",
        );
        const FAILED: Refusal = Refusal::new(
            Code::EnclaveUnavailable,
            "the Nitro Secure Module gave no document",
        );
        let nonce = nonce_of(query)?;
        let _place = self.waiting.try_acquire().map_err(|_| BUSY)?;
        let turn = timeout(TURN_TIMEOUT, Arc::clone(&self.turn).acquire_owned())
            .await
            .map_err(|_| BUSY)?
            .map_err(|_| BUSY)?;
        let claims = Claims {
            user_data: self.user_data.clone(),
            nonce,
            public_key: Vec::new(),
        };
        let attester = Arc::clone(&self.attester);
        let document = spawn_blocking(move || {
            // The turn lasts as long as the module works, also when the caller has gone.
            let _turn = turn;
            attester.attest(&claims)
        })
        .await
        .map_err(|_| FAILED)?
        .map_err(|_| FAILED)?;
        Ok(Evidence {
            kind: "aws-nitro",
            document: STANDARD.encode(document),
            key_configuration: STANDARD.encode(&self.key_configuration),
        })
    }
}

fn nonce_of(query: Option<&str>) -> Result<Vec<u8>, Refusal> {
    const INVALID: Refusal = Refusal::new(
        Code::InvalidRequest,
        "nonce must be 16 to 64 bytes of base64url",
    );
    let mut nonces = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.strip_prefix("nonce="));
    let (Some(nonce), None) = (nonces.next(), nonces.next()) else {
        return Err(INVALID);
    };
    // Clients of either habit: with padding or without.
    let nonce = URL_SAFE_NO_PAD
        .decode(nonce.trim_end_matches(['=']).replace("%3D", ""))
        .map_err(|_| INVALID)?;
    if EVIDENCE_NONCE_BYTES.contains(&nonce.len()) {
        Ok(nonce)
    } else {
        Err(INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_there_once_and_of_the_right_length() {
        let nonce = |n| URL_SAFE_NO_PAD.encode(vec![0xfb; n]);
        for length in [16, 32, 64] {
            let query = format!("nonce={}", nonce(length));
            assert_eq!(nonce_of(Some(&query)).map(|n| n.len()), Ok(length));
        }
        assert_eq!(
            nonce_of(Some("nonce=AAAAAAAAAAAAAAAAAAAAAA==")).map(|n| n.len()),
            Ok(16)
        );
        let twice = format!("nonce={0}&nonce={0}", nonce(32));
        for query in [
            None,
            Some(""),
            Some("nonce="),
            Some("nonce=AAAA"),
            Some("nonce=+/+/+/+/+/+/+/+/+/+/+/"),
            Some(&*twice),
        ] {
            assert!(nonce_of(query).is_err(), "{query:?}");
        }
        for length in [15, 65] {
            assert!(nonce_of(Some(&format!("nonce={}", nonce(length)))).is_err());
        }
    }
}
