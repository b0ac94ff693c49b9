//! Time, cross-checked with the Nitro Secure Module.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attestation::{AgeRule, Appraisal, DebugMode, Images, NonceRule, Policy, TrustAnchors};
use dauth_protocol::Purpose;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    event::{Event, Events},
    platform::{Attester, Claims},
};

/// The most by which the enclave's clock and the module's may differ.
pub(crate) const MAX_DIFFERENCE_S: u64 = 30;
/// How often they are compared.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Time for one comparison.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a comparison counts: three intervals, so that one that fails to end does not stop all.
const COUNTS_FOR: Duration = Duration::from_secs(180);

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
    /// The module does not answer in time: its driver waits two minutes for it.
    #[error("the Nitro Secure Module does not answer in time")]
    TimedOut,
    /// They differ by more than the bound.
    #[error("the clock and the Nitro Secure Module differ by {0} seconds")]
    Disagrees(u64),
}

/// When the clock last agreed with the module, if it did when it was last asked.
#[derive(Clone)]
pub struct Clock {
    agreed: Arc<Mutex<Option<Instant>>>,
}

impl Clock {
    /// Compares once, then again every minute.
    pub async fn start(
        attester: Arc<dyn Attester>,
        anchors: TrustAnchors,
        events: Events,
    ) -> Result<Self, ClockError> {
        let comparison = move || compare(Arc::clone(&attester), anchors.clone());
        Self::start_with(comparison, events).await
    }

    async fn start_with<F>(
        comparison: impl Fn() -> F + Send + 'static,
        events: Events,
    ) -> Result<Self, ClockError>
    where
        F: Future<Output = Result<(), ClockError>> + Send,
    {
        in_time(comparison()).await?;
        let clock = Self {
            agreed: Arc::new(Mutex::new(Some(Instant::now()))),
        };
        let kept = clock.clone();
        tokio::spawn(async move {
            loop {
                sleep(CHECK_EVERY).await;
                let result = in_time(comparison()).await;
                if let Err(ClockError::Disagrees(difference_s)) = result {
                    events.note(Event::ClockDisagrees { difference_s });
                }
                kept.note(&result);
            }
        });
        Ok(clock)
    }

    fn note(&self, result: &Result<(), ClockError>) {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => *agreed = Some(Instant::now()),
            // No answer in time says nothing of the clock: what was found last counts a while.
            Err(ClockError::TimedOut) => {}
            Err(_) => *agreed = None,
        }
    }

    /// A clock that agrees for three minutes.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            agreed: Arc::new(Mutex::new(Some(Instant::now()))),
        }
    }

    /// The time in seconds, unless the clock is not to be trusted.
    pub fn trusted_now_s(&self) -> Option<u64> {
        let agreed = *self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        agreed
            .is_some_and(|at| at.elapsed() <= COUNTS_FOR)
            .then(now_s)
    }
}

async fn in_time(
    comparison: impl Future<Output = Result<(), ClockError>>,
) -> Result<(), ClockError> {
    timeout(COMPARE_TIMEOUT, comparison)
        .await
        .unwrap_or(Err(ClockError::TimedOut))
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
        nonce: NonceRule::Any,
        age: AgeRule::Any,
        debug_mode: DebugMode::Refuse,
        leeway: Duration::from_secs(MAX_DIFFERENCE_S),
        ..Policy::new(Images::Unconstrained)
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

#[cfg(test)]
mod tests;
