//! The role's credentials, kept while they live and renewed before they expire.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dauth_protocol::host::RoleCredentials;
use jiff::{SignedDuration, Timestamp};

use super::metadata::{ImdsError, Metadata, Token};
use crate::metrics::Metrics;

/// New credentials are there at least five minutes before the old ones expire.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(10);
/// Where there are no newer ones yet, the service is asked again after this.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// A service that failed is not asked for this long.
const REST_AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(2);
/// A session token is not shown this close to its end.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// The present time: an argument, so that tests let it pass.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Credentials from the instance metadata service.
pub(crate) struct Imds {
    metadata: Metadata,
    clock: Clock,
    metrics: Arc<Metrics>,
    kept: Mutex<Kept>,
    /// Held by the one who asks the service.
    session: tokio::sync::Mutex<Option<Session>>,
}

#[derive(Default)]
struct Kept {
    issued: Option<Issued>,
    /// The last failure, and when it was. It stands for what the service would say for a while.
    failure: Option<(ImdsError, Timestamp)>,
}

#[derive(Clone)]
struct Issued {
    credentials: RoleCredentials,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

struct Session {
    token: Token,
    until: Timestamp,
}

/// What is to be done for a request.
enum Look {
    Answer(Result<RoleCredentials, ImdsError>),
    /// Ask the service; these will do meanwhile.
    Renew(Option<RoleCredentials>),
}

impl Imds {
    pub(super) fn new(metadata: Metadata, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            metadata,
            clock,
            metrics,
            kept: Mutex::default(),
            session: tokio::sync::Mutex::default(),
        }
    }

    /// Credentials that are valid now. Of many who ask at one time, one asks the service; when
    /// that fails, what lives still is served.
    pub(crate) async fn credentials(&self) -> Result<RoleCredentials, ImdsError> {
        let mut session = match self.look() {
            Look::Answer(answer) => return answer,
            Look::Renew(None) => self.session.lock().await,
            Look::Renew(Some(present)) => match self.session.try_lock() {
                Ok(session) => session,
                Err(_) => return Ok(present),
            },
        };
        // Whoever held the session may have been here for the same.
        if let Look::Answer(answer) = self.look() {
            return answer;
        }
        let fetched = self.fetch(&mut session).await;
        self.keep(fetched)
    }

    fn look(&self) -> Look {
        let now = (self.clock)();
        let kept = self.kept();
        let rests = kept.failure.as_ref().filter(|(_, at)| {
            // Not before it either: the clock may have been set.
            (SignedDuration::ZERO..REST_AFTER_FAILURE).contains(&now.duration_since(*at))
        });
        let live = kept.issued.as_ref().filter(|i| now < i.expires_at);
        match (live, rests) {
            (Some(issued), _) if now < issued.renew_at => {
                Look::Answer(Ok(issued.credentials.clone()))
            }
            (Some(issued), Some(_)) => Look::Answer(Ok(issued.credentials.clone())),
            (None, Some((error, _))) => Look::Answer(Err(error.clone())),
            (live, None) => Look::Renew(live.map(|issued| issued.credentials.clone())),
        }
    }

    fn keep(&self, fetched: Result<Issued, ImdsError>) -> Result<RoleCredentials, ImdsError> {
        let now = (self.clock)();
        let mut kept = self.kept();
        match fetched {
            Ok(issued) => {
                self.metrics.role_was_renewed();
                tracing::info!(expires = %issued.expires_at, "took the role's credentials");
                kept.failure = None;
                let credentials = issued.credentials.clone();
                kept.issued = Some(issued);
                Ok(credentials)
            }
            Err(error) => {
                Metrics::add(&self.metrics.role_failures);
                tracing::error!("no credentials of the role: {error}");
                kept.failure = Some((error.clone(), now));
                match kept.issued.as_ref().filter(|i| now < i.expires_at) {
                    Some(issued) => Ok(issued.credentials.clone()),
                    None => Err(error),
                }
            }
        }
    }

    /// A token that is refused before its time is renewed once.
    async fn fetch(&self, session: &mut Option<Session>) -> Result<Issued, ImdsError> {
        let had_one = session.as_ref().is_some_and(|s| (self.clock)() < s.until);
        match self.fetch_once(session).await {
            Err(ImdsError::TokenRefused) if had_one => {
                *session = None;
                self.fetch_once(session).await
            }
            fetched => fetched,
        }
    }

    async fn fetch_once(&self, session: &mut Option<Session>) -> Result<Issued, ImdsError> {
        let now = (self.clock)();
        let valid = session.take().filter(|session| now < session.until);
        let session = session.insert(match valid {
            Some(session) => session,
            None => self.open_session(now).await?,
        });
        let credentials = self.metadata.credentials(&session.token).await?;
        issued(credentials, (self.clock)())
    }

    async fn open_session(&self, now: Timestamp) -> Result<Session, ImdsError> {
        let token = self.metadata.token().await?;
        let until = SignedDuration::try_from(token.life)
            .ok()
            .and_then(|life| now.checked_add(life - TOKEN_MARGIN).ok())
            .unwrap_or(now);
        Ok(Session { token, until })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn issued(credentials: RoleCredentials, now: Timestamp) -> Result<Issued, ImdsError> {
    let expires_at: Timestamp = credentials
        .expiration
        .parse()
        .map_err(|_| ImdsError::Malformed("credentials whose Expiration is RFC 3339"))?;
    if expires_at <= now {
        return Err(ImdsError::Expired);
    }
    let early = |time: Timestamp, by| time.checked_sub(by).unwrap_or(time);
    let later = now.checked_add(ASK_AGAIN_AFTER).unwrap_or(expires_at);
    Ok(Issued {
        renew_at: early(expires_at, RENEW_BEFORE).max(later),
        credentials,
        expires_at,
    })
}

#[cfg(test)]
mod tests;
