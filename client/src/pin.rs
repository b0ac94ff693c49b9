//! The keys of MCP servers, to be pinned in a policy.
//!
//! A server publishes its own DPoP keys at the `jwks_uri` of its protected resource metadata
//! (RFC 9728 section 2). Pinned, they keep a compromised control plane from standing in for it.
use dauth_dispatch::web::{self, InsecureUrl, SecureUrl, WebError};
use dauth_protocol::policy::{PermittedServer, ServerKeys};
use dauth_token::{Jwks, JwksError};
use serde::Deserialize;

/// Keys of one server that are pinned at most: as many as a policy holds.
const MAX_KEYS: usize = 16;

/// Why a server's keys cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The resource identifier, or its `jwks_uri`, is no URL that keys may be taken from.
    #[error("keys cannot be taken from there: {0}")]
    Url(#[from] InsecureUrl),
    /// Metadata or keys could not be fetched.
    #[error(transparent)]
    Web(#[from] WebError),
    /// No well-known address answered.
    #[error("the server publishes no protected resource metadata; connect with --unpinned?")]
    NoMetadata,
    /// The metadata is another resource's (RFC 9728 section 3.3).
    #[error("the metadata names the resource {0:?}; give the server's resource byte for byte")]
    OtherResource(String),
    /// The metadata has no `jwks_uri`.
    #[error("the server publishes no keys (jwks_uri); connect with --unpinned?")]
    NoKeysPublished,
    /// The key set cannot be used.
    #[error("the server's keys cannot be used: {0}")]
    Jwks(#[from] JwksError),
    /// No key, or more than a policy holds.
    #[error("the server publishes {0} usable keys; 1 to {MAX_KEYS} can be pinned")]
    KeyCount(usize),
}

/// What is used of protected resource metadata.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Metadata {
    resource: String,
    #[serde(default)]
    jwks_uri: Option<String>,
}

/// Looks up the keys that the server of `resource` publishes now.
pub async fn look_up(
    client: &reqwest::Client,
    resource: &str,
) -> Result<PermittedServer, PinError> {
    let metadata = fetch_metadata(client, resource).await?;
    let jwks_uri = SecureUrl::parse(&jwks_uri_of(resource, metadata)?)?;
    let reply = web::send(client.get(jwks_uri.url().clone()), &jwks_uri).await?;
    if reply.status != 200 {
        return Err(PinError::Web(WebError::Status {
            url: jwks_uri.as_str().to_owned(),
            status: reply.status,
        }));
    }
    Ok(PermittedServer {
        resource: resource.to_owned(),
        keys: ServerKeys::Pinned(thumbprints(&reply.body)?),
    })
}

/// RFC 9728 section 3.1: the well-known part stands between host and path; then at the root.
async fn fetch_metadata(client: &reqwest::Client, resource: &str) -> Result<Metadata, PinError> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let parsed = SecureUrl::parse(resource)?;
    let path = parsed.url().path().trim_end_matches('/');
    let origin = parsed.origin();
    let mut addresses = vec![format!("{origin}{WELL_KNOWN}{path}")];
    if !path.is_empty() {
        addresses.push(format!("{origin}{WELL_KNOWN}"));
    }
    for address in addresses {
        match web::get_json(client, &SecureUrl::parse(&address)?).await {
            Ok(metadata) => return Ok(metadata),
            Err(WebError::Status { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PinError::NoMetadata)
}

fn jwks_uri_of(resource: &str, metadata: Metadata) -> Result<String, PinError> {
    if metadata.resource != resource {
        return Err(PinError::OtherResource(metadata.resource));
    }
    metadata.jwks_uri.ok_or(PinError::NoKeysPublished)
}

fn thumbprints(jwks: &[u8]) -> Result<Vec<String>, PinError> {
    let jwks = Jwks::parse(jwks)?;
    let mut thumbprints: Vec<String> = jwks
        .iter()
        .map(|named| named.key.thumbprint().as_str().to_owned())
        .collect();
    thumbprints.sort_unstable();
    thumbprints.dedup();
    match thumbprints.len() {
        1..=MAX_KEYS => Ok(thumbprints),
        count => Err(PinError::KeyCount(count)),
    }
}

#[cfg(test)]
mod tests {
    use dauth_dispatch::DpopKey;
    use dauth_token::NamedJwk;

    use super::*;

    fn jwks(count: usize) -> Vec<u8> {
        let key = |number: usize| NamedJwk {
            kid: number.to_string(),
            key: DpopKey::generate().unwrap().jwk().clone(),
        };
        let keys = (0..count).map(key).collect();
        Jwks::new(keys).to_json().to_string().into_bytes()
    }

    #[test]
    fn pins_every_key_and_at_least_one() {
        assert_eq!(thumbprints(&jwks(2)).unwrap().len(), 2);
        for count in [0, MAX_KEYS + 1] {
            assert!(matches!(
                thumbprints(&jwks(count)),
                Err(PinError::KeyCount(found)) if found == count
            ));
        }
        assert!(matches!(thumbprints(b"{}"), Err(PinError::Jwks(_))));
        let private = br#"{"keys":[{"kty":"EC","crv":"P-256","d":"x","kid":"1"}]}"#;
        assert!(matches!(
            thumbprints(private),
            Err(PinError::Jwks(JwksError::Private))
        ));
    }

    #[test]
    fn metadata_must_be_this_resources() {
        let metadata = |json: &str| serde_json::from_str::<Metadata>(json).unwrap();
        let uri = "https://mcp.example/keys";
        let json = format!(r#"{{"resource":"https://mcp.example/mcp","jwks_uri":"{uri}","x":1}}"#);
        let found = |resource| jwks_uri_of(resource, metadata(&json));
        assert_eq!(found("https://mcp.example/mcp").unwrap(), uri);
        for other in [
            "https://mcp.example/mcp/",
            "https://mcp.example",
            "https://MCP.example/mcp",
        ] {
            assert!(matches!(found(other), Err(PinError::OtherResource(_))));
        }
        assert!(matches!(
            jwks_uri_of("r", metadata(r#"{"resource":"r"}"#)),
            Err(PinError::NoKeysPublished)
        ));
    }
}
