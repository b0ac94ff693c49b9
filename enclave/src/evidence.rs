//! Evidence for relying parties: a document over their nonce and this enclave's keys.
//!
//! Anybody may ask, so that what they can take of the module is bounded three times: how many
//! documents in a second, how many that wait, and one at the module at one time, behind whatever the
//! enclave itself needs there ([`SharedModule`](crate::platform::SharedModule)).
mod rate;

use std::{sync::Arc, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dauth_protocol::{Code, KeyConfiguration, limit::EVIDENCE_NONCE_BYTES};
use serde::Serialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use rate::Rate;

use crate::{
    platform::{Attester, Claims},
    refusal::Refusal,
};

/// Requests that may wait for the module, which serves one at a time.
const MAX_WAITING: usize = 64;
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes evidence, one document at a time.
pub struct EvidenceService {
    attester: Arc<dyn Attester>,
    rate: Rate,
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
    /// Evidence of the module that `attester` is.
    pub fn new(attester: Arc<dyn Attester>) -> Self {
        Self {
            attester,
            rate: Rate::new(),
            waiting: Semaphore::new(MAX_WAITING),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Evidence for these bytes of a key configuration, over the nonce in a query string:
    /// `nonce=<base64url, 16 to 64 bytes>`.
    pub async fn evidence(
        &self,
        query: Option<&str>,
        key_configuration: &[u8],
    ) -> Result<Evidence, Refusal> {
        const TOO_MANY: Refusal = Refusal::new(
            Code::LimitExceeded,
            "too many requests for evidence; try again in a second",
        );
        const BUSY: Refusal =
            Refusal::new(Code::EnclaveUnavailable, "the Nitro Secure Module is busy");
        const FAILED: Refusal = Refusal::new(
            Code::EnclaveUnavailable,
            "the Nitro Secure Module gave no document",
        );
        let nonce = nonce_of(query)?;
        let _place = self.waiting.try_acquire().map_err(|_| TOO_MANY)?;
        self.rate.take().ok_or(TOO_MANY)?;
        let turn = timeout(TURN_TIMEOUT, Arc::clone(&self.turn).acquire_owned())
            .await
            .map_err(|_| BUSY)?
            .map_err(|_| BUSY)?;
        let claims = Claims {
            user_data: KeyConfiguration::user_data(key_configuration),
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
            key_configuration: STANDARD.encode(key_configuration),
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
    use crate::platform::{
        SharedModule,
        slow_module::{SlowModule, document_for},
    };

    /// Resolves with what came through a channel of the standard library.
    async fn next<T: Send + 'static>(
        receiver: std::sync::mpsc::Receiver<T>,
    ) -> (T, std::sync::mpsc::Receiver<T>) {
        spawn_blocking(move || (receiver.recv().unwrap(), receiver))
            .await
            .unwrap()
    }

    /// The attack: whoever reaches the ingress asks for evidence without end.
    #[tokio::test]
    async fn a_flood_keeps_neither_clock_nor_kms_from_the_module() {
        let (slow, pace) = SlowModule::new();
        let module = Arc::new(SharedModule::new(slow));
        let service = Arc::new(EvidenceService::new(module.for_strangers()));
        let keys = b"key configuration";
        let flood: Vec<_> = (0..50)
            .map(|_| {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    let query = format!("nonce={}", "A".repeat(43));
                    service.evidence(Some(&query), keys).await.map(drop)
                })
            })
            .collect();
        let (first, begun) = next(pace.begun).await;
        assert_eq!(first, KeyConfiguration::user_data(keys));
        let ours = [&b"clock"[..], b"kms"].map(|purpose| {
            let attester = module.for_ourselves();
            spawn_blocking(move || attester.attest(&document_for(purpose)))
        });
        let waiting = Arc::clone(&module);
        spawn_blocking(move || waiting.until_of_us_wait(2))
            .await
            .unwrap();
        // What is in progress ends; then both are served before any other stranger.
        let mut served = Vec::new();
        let mut receiver = begun;
        for _ in 0..2 {
            pace.go_on.send(()).unwrap();
            let (purpose, rest) = next(receiver).await;
            served.push(purpose);
            receiver = rest;
        }
        served.sort();
        assert_eq!(served, [b"clock".to_vec(), b"kms".to_vec()]);
        // The module goes on by itself, and the flood is served too.
        drop(pace.go_on);
        for document in ours {
            assert!(document.await.unwrap().is_ok());
        }
        for asked in flood {
            asked.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_to_come_later() {
        let (slow, pace) = SlowModule::new();
        drop(pace);
        let service = EvidenceService::new(slow);
        let query = format!("nonce={}", "A".repeat(43));
        let ask = async || service.evidence(Some(&query), b"").await.map(drop);
        // A request that is refused anyway costs nothing.
        for _ in 0..1000 {
            let malformed = service.evidence(None, b"").await.map(drop);
            assert_eq!(malformed.unwrap_err().code, Code::InvalidRequest);
        }
        let mut made = 0;
        let refused = loop {
            match ask().await {
                Ok(()) => made += 1,
                Err(refusal) => break refusal,
            }
            assert!(made < 1000);
        };
        assert_eq!(refused.code, Code::LimitExceeded);
        assert!(refused.code.retryable() && made >= 100);
        tokio::time::advance(Duration::from_millis(20)).await;
        ask().await.unwrap();
    }

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
