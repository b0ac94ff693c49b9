//! Requests to the instance metadata service, version 2: each but the first shows a session token,
//! which is had by a PUT alone. Version 1, which needs none, is never spoken: whoever can make this
//! host send one GET could read the role's secrets.
use std::{net::IpAddr, time::Duration};

use dauth_protocol::host::RoleCredentials;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::Deserialize;

use super::{CredentialsError, MAX_CREDENTIALS_BYTES};
use crate::configuration;

const TOKEN: &str = "/latest/api/token";
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
const SHOWN_TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_LIFE: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// The longest that the service gives.
const TOKEN_LIFE_S: u64 = 21_600;
const MAX_TOKEN_BYTES: usize = 1024;
const MAX_ROLE_BYTES: usize = 256;

/// The service, as configured.
pub(super) struct Metadata {
    client: Client,
    endpoint: String,
}

/// A session token: opens the role's credentials to whoever can reach the service.
pub(super) struct Token {
    shown: HeaderValue,
    pub(super) life: Duration,
}

/// Why the service gave no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImdsError {
    /// No connection, or no answer in time. A reply whose hop limit is used up never arrives.
    #[error(
        "the instance metadata service does not answer: enable it for this instance, and where the \
         parent runs in a container or a virtual machine, set HttpPutResponseHopLimit to 2"
    )]
    NoAnswer,
    /// The service is switched off, or version 2 is not spoken.
    #[error(
        "the instance metadata service gives no session token (status {0}): enable it with \
         HttpTokens=required; version 1 is not used"
    )]
    NoToken(u16),
    /// The session token is not valid any more.
    #[error("the instance metadata service refuses the session token that it gave")]
    TokenRefused,
    /// No instance profile.
    #[error(
        "this instance has no role: attach an instance profile whose role the KMS key's policy names"
    )]
    NoRole,
    /// A status that the request does not have.
    #[error("the instance metadata service answered with status {0}")]
    Status(u16),
    /// Longer than what it should be.
    #[error("the instance metadata service answered with more than {0} bytes")]
    TooLong(usize),
    /// Not what it should be. What it is, is not repeated.
    #[error("the instance metadata service gave no {0}")]
    Malformed(&'static str),
    /// The role cannot be assumed.
    #[error("the instance metadata service gives no credentials of the role: {0}")]
    Refused(String),
    /// Of no use.
    #[error(
        "the instance metadata service gave credentials that have expired; is the clock right?"
    )]
    Expired,
}

impl Metadata {
    pub(super) fn new(configuration: &configuration::Imds) -> Result<Self, CredentialsError> {
        let url = Url::parse(&configuration.endpoint).map_err(|_| CredentialsError::Endpoint)?;
        if !is_metadata_service(&url) {
            return Err(CredentialsError::Endpoint);
        }
        // The client wants a provider even where it speaks no TLS.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .tls_certs_only([])
            .timeout(Duration::from_millis(configuration.timeout_ms))
            .build()?;
        Ok(Self {
            client,
            endpoint: configuration.endpoint.trim_end_matches('/').to_owned(),
        })
    }

    /// A new session.
    pub(super) async fn token(&self) -> Result<Token, ImdsError> {
        let request = self
            .client
            .put(format!("{}{TOKEN}", self.endpoint))
            .header(TOKEN_LIFE, TOKEN_LIFE_S);
        let response = send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(ImdsError::NoToken(response.status().as_u16()));
        }
        let granted = response.headers().get(TOKEN_LIFE);
        let life_s = granted
            .and_then(|life| life.to_str().ok()?.parse().ok())
            .map_or(TOKEN_LIFE_S, |life_s: u64| life_s.min(TOKEN_LIFE_S));
        let body = body(response, MAX_TOKEN_BYTES).await?;
        let token = body.trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(ImdsError::Malformed("session token"));
        }
        let mut shown =
            HeaderValue::from_bytes(token).map_err(|_| ImdsError::Malformed("session token"))?;
        shown.set_sensitive(true);
        Ok(Token {
            shown,
            life: Duration::from_secs(life_s),
        })
    }

    /// Credentials of the role that the instance has now.
    pub(super) async fn credentials(&self, token: &Token) -> Result<RoleCredentials, ImdsError> {
        let role = self.role(token).await?;
        let text = self
            .get(&format!("{ROLE}{role}"), token, MAX_CREDENTIALS_BYTES)
            .await?;
        parse(&text)
    }

    async fn role(&self, token: &Token) -> Result<String, ImdsError> {
        let text = self.get(ROLE, token, MAX_ROLE_BYTES).await?;
        match str::from_utf8(text.trim_ascii()) {
            Ok("") => Err(ImdsError::NoRole),
            Ok(name) if is_role_name(name) => Ok(name.to_owned()),
            _ => Err(ImdsError::Malformed("name of a role")),
        }
    }

    async fn get(&self, path: &str, token: &Token, max_bytes: usize) -> Result<Vec<u8>, ImdsError> {
        let request = self
            .client
            .get(format!("{}{path}", self.endpoint))
            .header(SHOWN_TOKEN, token.shown.clone());
        let response = send(request).await?;
        match response.status() {
            StatusCode::OK => body(response, max_bytes).await,
            StatusCode::UNAUTHORIZED => Err(ImdsError::TokenRefused),
            StatusCode::NOT_FOUND => Err(ImdsError::NoRole),
            status => Err(ImdsError::Status(status.as_u16())),
        }
    }
}

async fn send(request: RequestBuilder) -> Result<Response, ImdsError> {
    request.send().await.map_err(|_| ImdsError::NoAnswer)
}

async fn body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, ImdsError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| ImdsError::NoAnswer)? {
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Err(ImdsError::TooLong(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The service's own word on the credentials: `Success`, or why there are none.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "Code")]
    code: Option<String>,
}

fn parse(text: &[u8]) -> Result<RoleCredentials, ImdsError> {
    const WHAT: &str = "credentials: AccessKeyId, SecretAccessKey, Token, Expiration";
    let said: Said = serde_json::from_slice(text).map_err(|_| ImdsError::Malformed(WHAT))?;
    match said.code.as_deref() {
        None | Some("Success") => {}
        Some(code) if code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            return Err(ImdsError::Refused(code.to_owned()));
        }
        Some(_) => return Err(ImdsError::Malformed(WHAT)),
    }
    let credentials: RoleCredentials =
        serde_json::from_slice(text).map_err(|_| ImdsError::Malformed(WHAT))?;
    let values = [
        &credentials.access_key_id,
        &credentials.secret_access_key,
        &credentials.session_token,
    ];
    let is_value = |text: &&String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if values.iter().all(is_value) {
        Ok(credentials)
    } else {
        Err(ImdsError::Malformed(WHAT))
    }
}

/// IAM: letters, digits and `+=,.@_-`, at most 64. None of them means anything in a path.
fn is_role_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text != "."
        && text != ".."
        && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
}

/// The service speaks plain HTTP, and no name is looked up for it.
fn is_metadata_service(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_known = host.parse::<IpAddr>().is_ok_and(|address| {
        address.is_loopback() || matches!(host, "169.254.169.254" | "fd00:ec2::254")
    });
    is_known
        && url.scheme() == "http"
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_itself_is_asked() {
        let metadata = |endpoint: &str| {
            Metadata::new(&configuration::Imds {
                endpoint: endpoint.to_owned(),
                ..configuration::Imds::default()
            })
        };
        for endpoint in [
            "http://169.254.169.254",
            "http://169.254.169.254/",
            "http://[fd00:ec2::254]",
            "http://[fd00:ec2:0::254]:80",
            "http://127.0.0.1:1338",
            "http://[::1]:1338",
        ] {
            assert!(metadata(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "",
            "169.254.169.254",
            "https://169.254.169.254",
            "http://169.254.170.2",
            "http://10.0.0.1",
            "http://[fd00:ec2::253]",
            "http://localhost",
            "http://instance-data.ec2.internal",
            "http://169.254.169.254/latest",
            "http://169.254.169.254/?x",
            "http://169.254.169.254/#x",
            "http://a@169.254.169.254",
            "http://:b@169.254.169.254",
            "http://169.254.169.254.example.com",
        ] {
            let refused = matches!(metadata(endpoint), Err(CredentialsError::Endpoint));
            assert!(refused, "{endpoint}");
        }
    }

    #[test]
    fn a_role_is_one_name() {
        for name in ["role", "a+b=c,d.e@f_g-h", &"r".repeat(64)] {
            assert!(is_role_name(name), "{name}");
        }
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\nb",
            "a%2f",
            "ä",
            &"r".repeat(65),
        ] {
            assert!(!is_role_name(text), "{text}");
        }
    }
}
