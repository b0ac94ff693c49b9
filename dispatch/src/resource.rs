//! A protected resource of an ordinary web server, such as the control plane's connections.
use reqwest::{Method, header::AUTHORIZATION};

use crate::{
    AccessToken, DauthRefusal, DpopKey, OAuthError, ProofError,
    nonce::{Learned, Nonces},
    proof::{ProofFor, prove},
    web::{self, Reply, SecureUrl, WebError},
};

/// Sends DPoP-bound requests to protected resources, and keeps their nonces.
#[derive(Debug)]
pub struct ResourceClient {
    http: reqwest::Client,
    nonces: Nonces,
}

/// Why a resource gave no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The exchange itself failed.
    #[error(transparent)]
    Web(#[from] WebError),
    /// No proof could be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The resource refused.
    #[error("{url} refused with status {status}{stated}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What it said of its reason.
        stated: Stated,
    },
}

/// What a resource said of its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    /// A problem document of DAuth's.
    Dauth(DauthRefusal),
    /// An OAuth error.
    OAuth(OAuthError),
    /// Nothing that this client reads.
    Nothing,
}

impl Stated {
    fn of(reply: &Reply) -> Self {
        if let Some(code) = DauthRefusal::code_of(&reply.headers) {
            return Stated::Dauth(DauthRefusal::from_reply(code, &reply.body));
        }
        OAuthError::from_json(&reply.body).map_or(Stated::Nothing, Stated::OAuth)
    }
}

impl core::fmt::Display for Stated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Stated::Dauth(refusal) => write!(f, ": {refusal}"),
            Stated::OAuth(error) => write!(f, ": {error}"),
            Stated::Nothing => Ok(()),
        }
    }
}

impl ResourceClient {
    /// A client without nonces yet.
    pub fn new() -> Result<Self, WebError> {
        Ok(Self {
            http: web::client()?,
            nonces: Nonces::default(),
        })
    }

    /// Sends a request, once more if the nonce alone was wrong; anything but 2xx is an error.
    pub async fn send(
        &self,
        method: Method,
        url: &SecureUrl,
        json: Option<&serde_json::Value>,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<Reply, ResourceError> {
        let (mut reply, learned) = self.once(&method, url, json, token, key).await?;
        // RFC 9449 section 9: a resource asks for a nonce by 401.
        if reply.status == 401 && learned == Learned::New {
            (reply, _) = self.once(&method, url, json, token, key).await?;
        }
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        Err(ResourceError::Refused {
            url: url.as_str().to_owned(),
            status: reply.status,
            stated: Stated::of(&reply),
        })
    }

    async fn once(
        &self,
        method: &Method,
        url: &SecureUrl,
        json: Option<&serde_json::Value>,
        token: &AccessToken,
        key: &DpopKey,
    ) -> Result<(Reply, Learned), ResourceError> {
        let nonce = self.nonces.latest(&url.origin());
        let proof = prove(
            &ProofFor {
                method: method.as_str(),
                htu: url.htu(),
                token: Some(token),
                nonce: nonce.as_deref(),
            },
            key,
        )?;
        let mut request = self
            .http
            .request(method.clone(), url.url().clone())
            .header("dpop", proof);
        if let Some(value) = token.header() {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(json) = json {
            request = request.json(json);
        }
        let reply = web::send(request, url).await?;
        let learned = self
            .nonces
            .learn(&url.origin(), &reply.headers, nonce.as_deref());
        Ok((reply, learned))
    }
}
