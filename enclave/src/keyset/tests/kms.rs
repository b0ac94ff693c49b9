//! The like of KMS: keys by ARN, and faults.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::nsm::Nsm;
use crate::{
    keyset::data_keys::DataKeys,
    kms::{DataKey, ErrorCode, GeneratedDataKey, KmsError},
    platform::BoxFuture,
};

/// How KMS, or who stands between, fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KmsFault {
    /// Not at all.
    None,
    /// It refuses every request.
    Denies,
    /// It makes data keys, and does not give them again.
    NeverDecrypts,
    /// It gives another data key than the one that it made.
    GivesOthers,
    /// Its replies are changed on the way.
    ChangedReplies,
}

/// All its keys.
#[derive(Clone)]
pub(crate) struct Kms(Arc<State>);

struct State {
    made: Mutex<HashMap<Vec<u8>, [u8; 32]>>,
    fault: Mutex<KmsFault>,
    asked: AtomicUsize,
    slow: Mutex<Option<Slow>>,
}

/// How long a slow KMS takes.
const SLOW: Duration = Duration::from_secs(40);

/// The module whose time passes meanwhile, and since when.
#[derive(Clone)]
struct Slow {
    nsm: Arc<Nsm>,
    at: Instant,
    at_ms: u64,
}

impl Kms {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            made: Mutex::default(),
            fault: Mutex::new(KmsFault::None),
            asked: AtomicUsize::new(0),
            slow: Mutex::default(),
        }))
    }

    pub(crate) fn fail(&self, fault: KmsFault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// From now on it takes its time, which passes for this module too.
    pub(crate) fn slow_down(&self, nsm: Arc<Nsm>) {
        *self.0.slow.lock().unwrap() = Some(Slow {
            at: Instant::now(),
            at_ms: nsm.now_ms(),
            nsm,
        });
    }

    async fn take_time(&self) {
        let slow = self.0.slow.lock().unwrap().clone();
        if let Some(Slow { nsm, at, at_ms }) = slow {
            tokio::time::sleep(SLOW).await;
            let passed_ms = u64::try_from(at.elapsed().as_millis()).unwrap();
            nsm.pass_ms((at_ms + passed_ms).saturating_sub(nsm.now_ms()));
        }
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// One of its keys, as an enclave uses it.
    pub(crate) fn key(&self, arn: &str) -> KmsKey {
        KmsKey {
            kms: self.clone(),
            arn: arn.to_owned(),
        }
    }

    fn ask(&self) -> KmsFault {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        *self.0.fault.lock().unwrap()
    }
}

/// The key that new data keys are of.
pub(crate) struct KmsKey {
    kms: Kms,
    arn: String,
}

impl KmsKey {
    fn generate_now(&self) -> Result<GeneratedDataKey, KmsError> {
        if self.kms.ask() == KmsFault::Denies {
            return Err(KmsError::AccessDenied);
        }
        let mut made = self.kms.0.made.lock().unwrap();
        let wrapped = format!("{} {}", self.arn, made.len()).into_bytes();
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).unwrap();
        made.insert(wrapped.clone(), key);
        let key = DataKey::from_content(&key).ok();
        Ok(GeneratedDataKey {
            key: key.unwrap(),
            wrapped,
        })
    }

    fn decrypt_now(&self, key_arn: &str, wrapped: &[u8]) -> Result<DataKey, KmsError> {
        let fault = self.kms.ask();
        let made = self.kms.0.made.lock().unwrap();
        let key = made
            .get(wrapped)
            .filter(|_| wrapped.starts_with(format!("{key_arn} ").as_bytes()));
        match (fault, key) {
            (KmsFault::Denies | KmsFault::NeverDecrypts, _) => Err(KmsError::AccessDenied),
            (KmsFault::ChangedReplies, _) => Err(KmsError::ReplyRefused),
            (KmsFault::GivesOthers, _) => Ok(DataKey::from_content(&[3; 32]).ok().unwrap()),
            (KmsFault::None, Some(key)) => Ok(DataKey::from_content(key).ok().unwrap()),
            (KmsFault::None, None) => Err(KmsError::Ciphertext(ErrorCode::of_type(
                "InvalidCiphertextException",
            ))),
        }
    }
}

impl DataKeys for KmsKey {
    fn generate(&self) -> BoxFuture<'_, Result<GeneratedDataKey, KmsError>> {
        Box::pin(async {
            self.kms.take_time().await;
            self.generate_now()
        })
    }

    fn decrypt<'a>(
        &'a self,
        key_arn: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<DataKey, KmsError>> {
        Box::pin(async move {
            self.kms.take_time().await;
            self.decrypt_now(key_arn, wrapped)
        })
    }
}
