//! Time, cross-checked with the Nitro Secure Module.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attestation::{AgeRule, Appraisal, DebugMode, Images, NonceRule, Policy, TrustAnchors};
use dauth_protocol::Purpose;

use crate::{
    event::{Event, Events},
    platform::{Attester, Claims},
};

/// The most by which the enclave's clock and the module's may differ.
const MAX_DIFFERENCE_S: u64 = 30;
/// How often they are compared.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Milliseconds since the epoch, by the enclave's own clock source.
pub fn now_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since the epoch.
pub fn now_s() -> u64 {
    now_ms() / 1000
}

/// Why the time is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The module gave no document, or one that does not verify now.
    #[error("the Nitro Secure Module's time document does not verify: {0}")]
    Evidence(dauth_attestation::Error),
    /// The module does not answer.
    #[error("the Nitro Secure Module does not answer")]
    Module,
    /// They differ by more than the bound.
    #[error("the clock and the Nitro Secure Module differ by {0} seconds")]
    Disagrees(u64),
}

/// Whether the clock agreed with the module when it was last asked.
#[derive(Clone)]
pub struct Clock {
    agrees: Arc<AtomicBool>,
}

impl Clock {
    /// Compares once, then again every minute.
    pub async fn start(
        attester: Arc<dyn Attester>,
        anchors: TrustAnchors,
        events: Events,
    ) -> Result<Self, ClockError> {
        compare(Arc::clone(&attester), anchors.clone()).await?;
        let agrees = Arc::new(AtomicBool::new(true));
        let clock = Self {
            agrees: Arc::clone(&agrees),
        };
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(CHECK_EVERY).await;
                let result = compare(Arc::clone(&attester), anchors.clone()).await;
                if let Err(ClockError::Disagrees(difference_s)) = result {
                    events.note(Event::ClockDisagrees { difference_s });
                }
                agrees.store(result.is_ok(), Ordering::Relaxed);
            }
        });
        Ok(clock)
    }

    /// The time in seconds, unless the clock is not to be trusted.
    pub fn trusted_now_s(&self) -> Option<u64> {
        self.agrees.load(Ordering::Relaxed).then(now_s)
    }
}

async fn compare(attester: Arc<dyn Attester>, anchors: TrustAnchors) -> Result<(), ClockError> {
    let claims = Claims {
        user_data: Purpose::Time.user_data(&[]),
        ..Claims::default()
    };
    let document = tokio::task::spawn_blocking(move || attester.attest(&claims))
        .await
        .map_err(|_| ClockError::Module)?
        .map_err(|_| ClockError::Module)?;
    let now_ms = now_ms();
    let policy = Policy {
        images: Images::Unconstrained,
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        debug_mode: DebugMode::Refuse,
        leeway: Duration::from_secs(MAX_DIFFERENCE_S),
    };
    let appraisal = Appraisal {
        anchors: &anchors,
        policy: &policy,
        now_ms,
    };
    let result =
        dauth_attestation::appraise(&document, &appraisal).map_err(ClockError::Evidence)?;
    match result.timestamp_ms().abs_diff(now_ms) / 1000 {
        0..=MAX_DIFFERENCE_S => Ok(()),
        difference_s => Err(ClockError::Disagrees(difference_s)),
    }
}
