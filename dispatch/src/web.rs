//! Requests to ordinary web servers: https, or http to this machine alone.
use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderMap};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde::de::DeserializeOwned;

/// Time to reach a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole exchange: every reply here is small.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reply that is read.
pub const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// A URL that a credential or a trust decision may travel over: `https`, or `http` to a loopback
/// host; no user information and no fragment.
///
/// Both forms are kept: the text as given, for comparisons byte for byte, and the parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureUrl {
    text: String,
    url: Url,
}

/// Why a text is no [`SecureUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsecureUrl {
    /// Not an absolute URL.
    #[error("{0:?} is not an absolute URL")]
    Malformed(String),
    /// Plain http to another machine, or another scheme.
    #[error("{0:?} is neither an https URL nor an http URL of this machine (127.0.0.1)")]
    Plain(String),
    /// User information or a fragment.
    #[error("{0:?} holds user information or a fragment")]
    Decorated(String),
}

impl SecureUrl {
    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, InsecureUrl> {
        let url = Url::parse(text).map_err(|_| InsecureUrl::Malformed(text.to_owned()))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(InsecureUrl::Plain(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(InsecureUrl::Decorated(text.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            url,
        })
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The URL without its query: what a proof's `htu` names (RFC 9449 section 4.2).
    ///
    /// Taken from the text as given, since a server that compares byte for byte knows its own URL
    /// in that form, before a parser lower-cased a host or left out a default port.
    pub(crate) fn htu(&self) -> &str {
        self.text.split('?').next().unwrap_or_default()
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // RFC 6761 section 6.3.
        Err(_) => bare == "localhost",
    }
}

/// Why an exchange with a web server failed.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The URL is not one that may be used.
    #[error(transparent)]
    Url(#[from] InsecureUrl),
    /// This build's TLS provider cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[source] reqwest::Error),
    /// Not reached, or broken off.
    #[error("{url} cannot be reached: {}", cause(.source))]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// A status that is no success.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// Longer than [`MAX_REPLY_BYTES`].
    #[error("{0} answered with more than a mebibyte")]
    TooLong(String),
    /// Not the JSON that was expected.
    #[error("{0} answered with something else than the JSON expected")]
    Malformed(String),
}

/// The innermost cause: reqwest's own sentence says only that sending failed.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// An HTTP client with explicit TLS: aws-lc-rs, Mozilla's roots, no redirects, no proxy.
///
/// A redirect would carry credentials to where nobody checked; a proxy from the environment would
/// see what goes to a loopback issuer in the clear.
pub fn client() -> Result<reqwest::Client, WebError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(WebError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXCHANGE_TIMEOUT)
        .build()
        .map_err(WebError::Client)
}

/// A reply of bounded length.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Sends a request and reads the whole of a bounded reply.
pub async fn send(request: reqwest::RequestBuilder, url: &SecureUrl) -> Result<Reply, WebError> {
    let unreachable = |source| WebError::Unreachable {
        url: url.as_str().to_owned(),
        source,
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(WebError::TooLong(url.as_str().to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    })
}

/// Fetches a JSON document.
pub async fn get_json<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &SecureUrl,
) -> Result<T, WebError> {
    let reply = send(client.get(url.url().clone()), url).await?;
    if reply.status != 200 {
        return Err(WebError::Status {
            url: url.as_str().to_owned(),
            status: reply.status,
        });
    }
    serde_json::from_slice(&reply.body).map_err(|_| WebError::Malformed(url.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for text in [
            "https://as.example",
            "http://127.0.0.1:8080/x",
            "http://127.9.9.9",
            "http://[::1]:1",
            "http://localhost:3",
        ] {
            assert!(SecureUrl::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://as.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "ftp://127.0.0.1",
            "unix:/x",
        ] {
            assert!(
                matches!(SecureUrl::parse(text), Err(InsecureUrl::Plain(_))),
                "{text}"
            );
        }
        assert!(matches!(
            SecureUrl::parse("/token"),
            Err(InsecureUrl::Malformed(_))
        ));
        for text in [
            "https://u@as.example",
            "https://u:p@a.example",
            "https://a.example/#f",
        ] {
            assert!(
                matches!(SecureUrl::parse(text), Err(InsecureUrl::Decorated(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        let url = SecureUrl::parse("https://as.example").unwrap();
        assert_eq!(url.as_str(), "https://as.example");
        let url = SecureUrl::parse("https://As.example:443/t?x=1").unwrap();
        assert_eq!(url.htu(), "https://As.example:443/t");
    }
}
