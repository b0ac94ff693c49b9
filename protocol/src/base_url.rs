//! Where a connection's calls go.
use core::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{limit::MAX_BASE_URL_BYTES, path::RequestPath};

/// An `https` URL whose authority is the only one that a connection's calls reach.
///
/// SNI, certificate name, `Host` and the dialled authority are all taken from this one value. The
/// host is lower-case ASCII; there is no user information, query or fragment, and the path has no
/// trailing slash.
///
/// ```
/// use dauth_protocol::BaseUrl;
/// let base: BaseUrl = "https://api.example.com/v1/".parse().unwrap();
/// assert_eq!((base.host(), base.port(), base.path()), ("api.example.com", 443, "/v1"));
/// assert!("http://api.example.com".parse::<BaseUrl>().is_err());
/// assert!("https://user@api.example.com".parse::<BaseUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl {
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// The host without brackets: a DNS name or an IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 unless the URL names another.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path prefix: empty, or `/…` without a trailing slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of `Host`: the port is left out when it is 443.
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.bracketed_host(),
            port => format!("{}:{port}", self.bracketed_host()),
        }
    }

    /// The target of `CONNECT` (RFC 9110 section 9.3.6): the port is always there.
    pub fn connect_target(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port)
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        if text.len() > MAX_BASE_URL_BYTES {
            return Err(InvalidBaseUrl::TooLong);
        }
        let rest = text
            .strip_prefix("https://")
            .ok_or(InvalidBaseUrl::NotHttps)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = split_authority(authority)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && (path.ends_with('/') || RequestPath::parse(path).is_err()) {
            return Err(InvalidBaseUrl::Path);
        }
        Ok(Self {
            host: parse_host(host)?,
            port,
            path: path.to_owned(),
        })
    }
}

fn split_authority(authority: &str) -> Result<(&str, u16), InvalidBaseUrl> {
    let end_of_host = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end_of_host);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 443,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| InvalidBaseUrl::Port)?
        }
        _ => return Err(InvalidBaseUrl::Port),
    };
    if port == 0 {
        return Err(InvalidBaseUrl::Port);
    }
    Ok((host, port))
}

fn parse_host(host: &str) -> Result<String, InvalidBaseUrl> {
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: core::net::Ipv6Addr = v6.parse().map_err(|_| InvalidBaseUrl::Host)?;
        return Ok(address.to_string());
    }
    let is_ldh = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let host = host.to_ascii_lowercase();
    let labels_are_valid = host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_ldh)
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    if host.len() > 253 || !labels_are_valid {
        return Err(InvalidBaseUrl::Host);
    }
    // `1.2.3` or `0x7f.1` are addresses to some resolvers and names to others.
    let last_is_numeric = host
        .rsplit('.')
        .next()
        .is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit()));
    if last_is_numeric && !matches!(host.parse(), Ok(IpAddr::V4(_))) {
        return Err(InvalidBaseUrl::Host);
    }
    Ok(host)
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidBaseUrl;

    fn try_from(text: String) -> Result<Self, InvalidBaseUrl> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// Longer than [`MAX_BASE_URL_BYTES`].
    #[error("base URL is too long")]
    TooLong,
    /// Another scheme.
    #[error("base URL must begin with https://")]
    NotHttps,
    /// User information, a trailing dot, an underscore, or an ambiguous numeric form.
    #[error("base URL has no valid host name or address")]
    Host,
    /// Not 1 to 65535.
    #[error("base URL has no valid port")]
    Port,
    /// A path that no request could have, or a query or fragment.
    #[error("base URL has a path that is not allowed, a query or a fragment")]
    Path,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_one_value_for_host_and_target() {
        let cases = [
            (
                "https://Api.Example.com",
                "api.example.com",
                "api.example.com:443",
            ),
            (
                "https://api.example.com:8443/a/b",
                "api.example.com:8443",
                "api.example.com:8443",
            ),
            ("https://127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9"),
            (
                "https://[2001:DB8::1]",
                "[2001:db8::1]",
                "[2001:db8::1]:443",
            ),
        ];
        for (text, authority, target) in cases {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(
                (url.authority().as_str(), url.connect_target().as_str()),
                (authority, target)
            );
            assert_eq!(url.to_string().parse::<BaseUrl>().unwrap(), url);
        }
    }

    #[test]
    fn refuses_ambiguous_authorities() {
        use InvalidBaseUrl::*;
        let cases = [
            ("http://a.example", NotHttps),
            ("HTTPS://a.example", NotHttps),
            ("https://", Host),
            ("https://user@a.example", Host),
            ("https://user:pass@a.example", Port),
            ("https://a.example.", Host),
            ("https://a..example", Host),
            ("https://a_b.example", Host),
            ("https://127.1", Host),
            ("https://0x7f.0.0.1x", Host),
            ("https://2130706433", Host),
            ("https://[::1%25lo]", Host),
            ("https://[::1]x", Port),
            ("https://a.example:", Port),
            ("https://a.example:0", Port),
            ("https://a.example:65536", Port),
            ("https://a.example:+80", Port),
            ("https://a.example?x", Host),
            ("https://a.example/?x", Path),
            ("https://a.example/#x", Path),
            ("https://a.example/a/../b", Path),
            ("https://a.example//", Path),
        ];
        for (text, error) in cases {
            assert_eq!(
                text.parse::<BaseUrl>().map_err(|e| (text, e)),
                Err((text, error))
            );
        }
    }
}
