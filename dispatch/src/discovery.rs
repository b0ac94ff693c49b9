//! Authorization server metadata (RFC 8414).
use reqwest::Url;
use serde::Deserialize;

use crate::web::{self, InsecureUrl, SecureUrl, WebError};

/// What is used of an authorization server's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationServer {
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: SecureUrl,
    /// The enclave that its tokens are for, where it publishes one.
    pub enclave: Option<PublishedEnclave>,
}

/// Where an issuer says that its enclave is. What answers there proves itself by evidence.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PublishedEnclave {
    /// The enclave's resource identifier, byte for byte.
    pub resource: String,
    /// `host:port` of the ingress in front of it.
    pub ingress: String,
}

/// Why an authorization server's metadata is not known.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer is no URL that may be used.
    #[error("the issuer cannot be used: {0}")]
    Issuer(#[source] InsecureUrl),
    /// An endpoint in the metadata is no URL that may be used.
    #[error("the issuer's metadata names an endpoint that cannot be used: {0}")]
    Endpoint(#[source] InsecureUrl),
    /// The metadata could not be fetched.
    #[error("the issuer's metadata cannot be fetched: {0}")]
    Web(#[from] WebError),
    /// No well-known address answered.
    #[error("{0} publishes no authorization server metadata; is it the issuer's exact URL?")]
    NotFound(String),
    /// The metadata is another issuer's (RFC 8414 section 3.3).
    #[error("the metadata at {expected:?} names the issuer {found:?}; they must be identical")]
    OtherIssuer {
        /// The issuer that was asked.
        expected: String,
        /// The one that it names.
        found: String,
    },
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    dauth_enclave: Option<PublishedEnclave>,
}

/// Finds the metadata of `issuer`, and refuses another issuer's.
pub async fn discover(
    client: &reqwest::Client,
    issuer: &str,
) -> Result<AuthorizationServer, DiscoveryError> {
    let secure = SecureUrl::parse(issuer).map_err(DiscoveryError::Issuer)?;
    for address in addresses(secure.url()) {
        let address = SecureUrl::parse(address.as_str()).map_err(DiscoveryError::Issuer)?;
        match web::get_json::<Metadata>(client, &address).await {
            Ok(metadata) => return check(issuer, metadata),
            Err(WebError::Status { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DiscoveryError::NotFound(issuer.to_owned()))
}

fn check(issuer: &str, metadata: Metadata) -> Result<AuthorizationServer, DiscoveryError> {
    if metadata.issuer != issuer {
        return Err(DiscoveryError::OtherIssuer {
            expected: issuer.to_owned(),
            found: metadata.issuer,
        });
    }
    Ok(AuthorizationServer {
        issuer: metadata.issuer,
        token_endpoint: SecureUrl::parse(&metadata.token_endpoint)
            .map_err(DiscoveryError::Endpoint)?,
        enclave: metadata.dauth_enclave,
    })
}

/// RFC 8414 section 3.1, then section 5 for OpenID providers: path inserted before appended.
fn addresses(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url
    };
    paths.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_the_prescribed_order() {
        let at = |issuer: &str| -> Vec<String> {
            addresses(&issuer.parse().unwrap())
                .into_iter()
                .map(String::from)
                .collect()
        };
        assert_eq!(
            at("https://as.example"),
            [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            at("https://as.example/t/1"),
            [
                "https://as.example/.well-known/oauth-authorization-server/t/1",
                "https://as.example/.well-known/openid-configuration/t/1",
                "https://as.example/t/1/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn an_issuer_is_compared_byte_for_byte() {
        let metadata = |issuer: &str| Metadata {
            issuer: issuer.to_owned(),
            token_endpoint: "https://as.example/token".to_owned(),
            dauth_enclave: None,
        };
        assert!(check("https://as.example", metadata("https://as.example")).is_ok());
        for other in [
            "https://as.example/",
            "https://AS.example",
            "https://as2.example",
        ] {
            assert!(matches!(
                check("https://as.example", metadata(other)),
                Err(DiscoveryError::OtherIssuer { .. })
            ));
        }
        let plain = Metadata {
            issuer: "https://as.example".to_owned(),
            token_endpoint: "http://as.example/token".to_owned(),
            dauth_enclave: None,
        };
        assert!(matches!(
            check("https://as.example", plain),
            Err(DiscoveryError::Endpoint(_))
        ));
    }
}
