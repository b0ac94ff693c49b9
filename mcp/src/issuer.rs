//! The keys of the authorization server.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dauth_dispatch::web::{self, InsecureUrl, SecureUrl, WebError};
use dauth_token::{AccessTokenRules, Jwks, JwksError, TokenError, VerifiedAccessToken};
use serde::Deserialize;

/// Keys are this old at most.
const MAX_AGE: Duration = Duration::from_secs(300);
/// A token that names an unknown key makes us ask again, no more often than this: any stranger can
/// send such tokens.
const MIN_REFETCH: Duration = Duration::from_secs(10);
/// After a failure nobody asks again for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const LEEWAY_S: u64 = 5;

/// The signature keys of one issuer, fetched from its metadata's `jwks_uri` and kept for a while.
pub struct IssuerKeys {
    issuer: String,
    http: reqwest::Client,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<Jwks>, Instant)>,
    failed: Option<Instant>,
}

/// Why a token could not be judged, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The issuer's documents cannot be fetched.
    #[error("the issuer's keys cannot be fetched: {0}")]
    Web(#[from] WebError),
    /// The issuer, or its `jwks_uri`, is no URL that may be used.
    #[error("the issuer's keys cannot be fetched: {0}")]
    Url(#[from] InsecureUrl),
    /// The metadata is another issuer's (RFC 8414 section 3.3).
    #[error("the metadata of {0:?} names another issuer; they must be identical")]
    OtherIssuer(String),
    /// Not a key set.
    #[error("the issuer's keys are not usable: {0}")]
    Keys(#[from] JwksError),
    /// The last attempt failed a moment ago.
    #[error("the issuer's keys could not be fetched a moment ago")]
    RecentlyFailed,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    /// The keys of `issuer`, byte for byte as its metadata and tokens name it. Nothing is fetched
    /// yet.
    pub fn new(issuer: &str) -> Result<Self, IssuerError> {
        SecureUrl::parse(issuer)?;
        Ok(Self {
            issuer: issuer.to_owned(),
            http: web::client()?,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The issuer, byte for byte.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether tokens can be judged: the keys are at hand, or can be fetched.
    pub async fn ready(&self) -> Result<(), IssuerError> {
        self.no_older_than(MAX_AGE).await.map(drop)
    }

    /// Verifies an access token for `audience` (RFC 9068 section 4). Its holder is not known yet.
    pub async fn verify(
        &self,
        token: &str,
        audience: &str,
        now_s: u64,
    ) -> Result<VerifiedAccessToken, IssuerError> {
        let judge = |keys: &Jwks| {
            let rules = AccessTokenRules {
                issuer: &self.issuer,
                audience,
                keys,
                now_s,
                leeway_s: LEEWAY_S,
            };
            dauth_token::verify_access_token(token, &rules)
        };
        let keys = self.no_older_than(MAX_AGE).await?;
        match judge(&keys) {
            Err(TokenError::UnknownKey) => {
                let keys = self.no_older_than(MIN_REFETCH).await?;
                Ok(judge(&keys)?)
            }
            judged => Ok(judged?),
        }
    }

    /// Fetches the keys if they are older; once, however many wait for them.
    async fn no_older_than(&self, age: Duration) -> Result<Arc<Jwks>, IssuerError> {
        if let Some(keys) = self.kept(age)? {
            return Ok(keys);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(keys) = self.kept(age)? {
            return Ok(keys);
        }
        let fetched = self.fetch().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                state.keys = Some((Arc::clone(&keys), Instant::now()));
                state.failed = None;
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!("{error}");
                state.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    fn kept(&self, age: Duration) -> Result<Option<Arc<Jwks>>, IssuerError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.keys, state.failed) {
            (Some((keys, fetched)), _) if fetched.elapsed() < age => Ok(Some(Arc::clone(keys))),
            (_, Some(failed)) if failed.elapsed() < RETRY_AFTER => Err(IssuerError::RecentlyFailed),
            _ => Ok(None),
        }
    }

    async fn fetch(&self) -> Result<Jwks, IssuerError> {
        let metadata: Metadata = web::get_json(&self.http, &self.metadata_url()?).await?;
        if metadata.issuer != self.issuer {
            return Err(IssuerError::OtherIssuer(self.issuer.clone()));
        }
        let url = SecureUrl::parse(&metadata.jwks_uri)?;
        let reply = web::send(self.http.get(url.url().clone()), &url).await?;
        if reply.status != 200 {
            return Err(IssuerError::Web(WebError::Status {
                url: url.as_str().to_owned(),
                status: reply.status,
            }));
        }
        Ok(Jwks::parse(&reply.body)?)
    }

    /// RFC 8414 section 3.1: the well-known path goes between host and path.
    fn metadata_url(&self) -> Result<SecureUrl, InsecureUrl> {
        let mut url = SecureUrl::parse(&self.issuer)?.url().clone();
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        SecureUrl::parse(url.as_str())
    }
}
