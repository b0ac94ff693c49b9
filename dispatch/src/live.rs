//! The one attested session that a client keeps, with the nonce of the enclave at its end.
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attested_tls::{ConnectError, Expectations, Session, connect};
use http::{HeaderMap, Request, Uri};
use http_body_util::Empty;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::nonce::nonce_of;

/// Time to reach the ingress.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts that a moment's wait may help: within a second every enclave of a fleet
/// has the newest generation of the keyset. Three seconds together.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
];

/// A nonce that came less long ago is taken to be good for one more request: half of its life.
const FRESH_NONCE: Duration = Duration::from_secs(60);

/// Why there is no session with the enclave.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The parent's ingress cannot be reached.
    #[error("the enclave's ingress {ingress} cannot be reached: {source}; is the parent running?")]
    Ingress {
        /// The address.
        ingress: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Who answered is not the enclave expected.
    #[error("the enclave at {ingress} is not trusted: {source}")]
    NotTrusted {
        /// The address.
        ingress: String,
        /// Which rule it failed.
        #[source]
        source: ConnectError,
    },
    /// The system's random source failed.
    #[error("this system's random source failed")]
    Random,
    /// The system's clock is before 1970.
    #[error("this system's clock is wrong: it is set before 1970")]
    Clock,
}

impl SessionError {
    fn is_momentary(&self) -> bool {
        matches!(self, Self::NotTrusted { source, .. } if source.is_momentary())
    }
}

/// A session, since when it is, and the latest nonce received on it.
///
/// Nonces belong to the enclave that issued them, hence to the session: another session may end at
/// another enclave of a fleet.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: Session,
    since: Instant,
    nonce: Mutex<Option<Received>>,
}

/// A nonce, and when it came.
#[derive(Debug)]
struct Received {
    nonce: String,
    at: Instant,
}

impl Live {
    pub(crate) async fn open(
        ingress: &str,
        expectations: &Expectations,
    ) -> Result<Self, SessionError> {
        patiently(|| Self::attempt(ingress, expectations)).await
    }

    async fn attempt(ingress: &str, expectations: &Expectations) -> Result<Self, SessionError> {
        let stream = reach(ingress).await?;
        let mut nonce = [0; 32];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SessionError::Random)?;
        let session = connect(stream, expectations, now_ms()?, nonce)
            .await
            .map_err(|source| SessionError::NotTrusted {
                ingress: ingress.to_owned(),
                source,
            })?;
        let live = Self {
            session,
            since: Instant::now(),
            nonce: Mutex::new(None),
        };
        live.learn(live.session.evidence_headers());
        Ok(live)
    }

    pub(crate) fn is_usable(&self, max_age: Duration) -> bool {
        !self.session.is_closed() && self.since.elapsed() < max_age
    }

    pub(crate) fn nonce(&self) -> Option<String> {
        self.lock().as_ref().map(|received| received.nonce.clone())
    }

    /// Keeps the nonce that every reply of the enclave carries.
    pub(crate) fn learn(&self, headers: &HeaderMap) {
        if let Some(nonce) = nonce_of(headers) {
            let at = Instant::now();
            *self.lock() = Some(Received { nonce, at });
        }
    }

    /// Gets a nonce that is fresh, for a request that cannot be sent twice.
    ///
    /// Evidence asked for without a nonce is refused at no cost to the enclave, and the refusal
    /// carries what is wanted. Should it not, the request itself will tell.
    pub(crate) async fn freshen_nonce(&self) {
        let is_fresh = (self.lock().as_ref()).is_some_and(|r| r.at.elapsed() < FRESH_NONCE);
        if is_fresh {
            return;
        }
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from_static("/.well-known/dauth/evidence");
        if let Ok(response) = self.session.send(request).await {
            self.learn(response.headers());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Received>> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attempts again while the failure is one that a moment's wait may help.
async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, SessionError>
where
    F: Future<Output = Result<T, SessionError>>,
{
    for pause in PAUSES {
        match attempt().await {
            Err(error) if error.is_momentary() => sleep(pause).await,
            outcome => return outcome,
        }
    }
    attempt().await
}

async fn reach(ingress: &str) -> Result<TcpStream, SessionError> {
    let failed = |source| SessionError::Ingress {
        ingress: ingress.to_owned(),
        source,
    };
    let stream = tokio::time::timeout(REACH_TIMEOUT, TcpStream::connect(ingress))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    // A small request must not wait for the acknowledgement of the one before it.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

fn now_ms() -> Result<u64, SessionError> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .ok_or(SessionError::Clock)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use dauth_attested_tls::EvidenceError;
    use http::StatusCode;

    use super::*;

    fn not_trusted(source: ConnectError) -> SessionError {
        SessionError::NotTrusted {
            ingress: "parent:8443".to_owned(),
            source,
        }
    }

    fn behind() -> ConnectError {
        EvidenceError::OlderGeneration { seen: 2, found: 1 }.into()
    }

    /// How often it was tried, and for how long, when each failure is `source`.
    async fn tried(source: fn() -> ConnectError) -> (u32, Duration) {
        let (attempts, before) = (Cell::new(0), Instant::now());
        let outcome: Result<(), _> = patiently(|| async {
            attempts.set(attempts.get() + 1);
            Err(not_trusted(source()))
        })
        .await;
        assert!(outcome.is_err());
        (attempts.get(), before.elapsed())
    }

    /// The attack: the parent puts an old keyset back, and leaves it there.
    #[tokio::test(start_paused = true)]
    async fn an_enclave_that_stays_behind_is_refused_after_three_seconds() {
        let pauses = PAUSES.iter().sum();
        assert_eq!(tried(behind).await, (6, pauses));
        assert_eq!(pauses, Duration::from_secs(3));
        let crowded = || ConnectError::EvidenceStatus(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(tried(crowded).await, (6, pauses));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_trusted_is_not_asked_again() {
        let at_once = (1, Duration::ZERO);
        assert_eq!(tried(|| ConnectError::OtherTlsKey).await, at_once);
        assert_eq!(tried(|| EvidenceError::NotTheseKeys.into()).await, at_once);
        assert_eq!(tried(|| EvidenceError::UnlockedKey.into()).await, at_once);
        let unavailable = || ConnectError::EvidenceStatus(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(tried(unavailable).await, at_once);
    }

    #[tokio::test(start_paused = true)]
    async fn an_enclave_that_catches_up_is_trusted() {
        let attempts = Cell::new(0);
        let outcome = patiently(|| async {
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                4 => Ok(()),
                _ => Err(not_trusted(behind())),
            }
        });
        outcome.await.unwrap();
        assert_eq!(attempts.get(), 4);
    }
}
