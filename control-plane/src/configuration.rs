//! What an operator says.
mod receipts;
mod syntax;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::clients::{Client, Clients};
pub use receipts::ReceiptsConfiguration;
use syntax::{is_identifier, is_ingress, is_issuer, is_resource, is_scope_token};

/// The configuration file: TOML. Unknown fields are refused. It holds no secret: clients and the
/// parent are recognised by the SHA-256 of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// `iss` of the tokens and the origin of every URL, without trailing slash: https, or http on
    /// loopback.
    pub issuer: String,
    /// Where clients and the parent connect (http; a reverse proxy adds TLS).
    pub listen: SocketAddr,
    /// Where the enclave fetches the key set (https with the key of [`tls_identity`]).
    ///
    /// [`tls_identity`]: crate::tls_identity
    pub listen_tls: SocketAddr,
    /// Where keys are kept; made with mode 0700 if there is none.
    pub state_dir: PathBuf,
    /// `sqlite:PATH`; without it, `control-plane.db` in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The enclave's resource identifier: `audience` of its deployment configuration.
    pub enclave: String,
    /// Where clients reach the enclave, `host:port`: the parent's ingress, or a balancer in front of
    /// several. Published for `dauth login`, which verifies what answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// SHA-256 of the credential that the parent fetches records with, in hexadecimal.
    pub host_credential_sha256: String,
    /// How long an access token is good; a dispatch token never more than two minutes.
    #[serde(default = "default_access_token_life_s")]
    pub access_token_life_s: u64,
    /// How many receipts of calls are kept.
    #[serde(default)]
    pub receipts: ReceiptsConfiguration,
    /// Who may ask for tokens.
    #[serde(default)]
    pub clients: Vec<ClientConfiguration>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfiguration {
    /// `client_id`.
    pub id: String,
    /// SHA-256 of its secret, in hexadecimal. The secret must be random, of 128 bits at least: a
    /// plain hash does not slow down guessing.
    pub secret_sha256: String,
    /// The MCP resource that the client is, when it is an MCP server: it may exchange the tokens
    /// that are for this resource, and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The tenant.
    pub org: String,
    /// The scopes that it may have, and has when it asks for none.
    #[serde(default)]
    pub scopes: Vec<String>,
}

fn default_access_token_life_s() -> u64 {
    300
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// `issuer` is no origin, or http off loopback.
    #[error(
        "issuer must be an https origin without trailing slash, or http on a loopback address: {0}"
    )]
    Issuer(String),
    /// `enclave` is no https URI, or has a trailing slash.
    #[error("enclave must be an https resource identifier without trailing slash: {0}")]
    Enclave(String),
    /// `ingress` is no host with a port.
    #[error("ingress must be host:port: {0}")]
    Ingress(String),
    /// A hash is not 64 hexadecimal digits.
    #[error("{0} must be a SHA-256 in hexadecimal: 64 digits")]
    Hash(String),
    /// A client's id, org, scope or resource is malformed.
    #[error("client {id:?}: {field} is empty, too long or has characters that are not allowed")]
    Client {
        /// Which client.
        id: String,
        /// Which field.
        field: &'static str,
    },
    /// Two clients of one id, or of one resource, or a resource that is the issuer or the enclave.
    #[error("client {0:?}: its id or resource is taken")]
    Taken(String),
    /// A life of zero, or of more than an hour.
    #[error("access_token_life_s must be 1 to 3600: {0}")]
    Life(u64),
    /// Receipts that are kept for no time or for more than a century, or in no room or in more than
    /// a database has.
    #[error("receipts: keep_days must be 1 to 36500, and max_mib and max_owner_mib 1 to 268435456")]
    Receipts,
    /// `store` is PostgreSQL, which this version has no implementation for.
    #[error("store: postgres:// is not supported yet; use sqlite:PATH")]
    Postgres,
    /// `store` is something else.
    #[error("store must be sqlite:PATH: {0}")]
    Store(String),
}

/// A configuration that has been checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) issuer: String,
    pub(crate) enclave: String,
    pub(crate) ingress: Option<String>,
    pub(crate) access_token_life_s: u64,
    pub(crate) host_credential_sha256: [u8; 32],
    pub(crate) receipts: ReceiptsConfiguration,
    pub(crate) clients: Clients,
    pub(crate) store: PathBuf,
}

impl Configuration {
    pub(crate) fn check(&self) -> Result<Settings, InvalidConfiguration> {
        if !is_issuer(&self.issuer) {
            return Err(InvalidConfiguration::Issuer(self.issuer.clone()));
        }
        if !is_resource(&self.enclave)
            || !self.enclave.starts_with("https://")
            || self.enclave.ends_with('/')
        {
            return Err(InvalidConfiguration::Enclave(self.enclave.clone()));
        }
        if let Some(ingress) = self.ingress.as_ref().filter(|text| !is_ingress(text)) {
            return Err(InvalidConfiguration::Ingress(ingress.clone()));
        }
        if !(1..=3600).contains(&self.access_token_life_s) {
            return Err(InvalidConfiguration::Life(self.access_token_life_s));
        }
        if !self.receipts.is_possible() {
            return Err(InvalidConfiguration::Receipts);
        }
        Ok(Settings {
            issuer: self.issuer.clone(),
            enclave: self.enclave.clone(),
            ingress: self.ingress.clone(),
            access_token_life_s: self.access_token_life_s,
            host_credential_sha256: hash(&self.host_credential_sha256, "host_credential_sha256")?,
            receipts: self.receipts,
            clients: self.check_clients()?,
            store: self.store_path()?,
        })
    }

    /// The database file: `store.path` of the simulator's `stack.json`.
    pub fn store_path(&self) -> Result<PathBuf, InvalidConfiguration> {
        let Some(store) = &self.store else {
            return Ok(self.state_dir.join("control-plane.db"));
        };
        if store.starts_with("postgres://") || store.starts_with("postgresql://") {
            return Err(InvalidConfiguration::Postgres);
        }
        match store.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() && !path.contains([':', '?']) => {
                Ok(Path::new(path.strip_prefix("//").unwrap_or(path)).to_owned())
            }
            _ => Err(InvalidConfiguration::Store(store.clone())),
        }
    }

    fn check_clients(&self) -> Result<Clients, InvalidConfiguration> {
        let mut clients = HashMap::new();
        let mut resources = HashSet::from([self.issuer.as_str(), self.enclave.as_str()]);
        for client in &self.clients {
            let invalid = |field| InvalidConfiguration::Client {
                id: client.id.clone(),
                field,
            };
            if !is_identifier(&client.id) {
                return Err(invalid("id"));
            }
            if !is_identifier(&client.org) {
                return Err(invalid("org"));
            }
            if !client.scopes.iter().all(|scope| is_scope_token(scope)) {
                return Err(invalid("scopes"));
            }
            if let Some(resource) = &client.resource {
                if !is_resource(resource) {
                    return Err(invalid("resource"));
                }
                if !resources.insert(resource) {
                    return Err(InvalidConfiguration::Taken(client.id.clone()));
                }
            }
            let parsed = Client {
                id: client.id.clone(),
                secret_sha256: hash(&client.secret_sha256, &format!("client {:?}", client.id))?,
                resource: client.resource.clone(),
                org: client.org.clone(),
                scopes: client.scopes.clone(),
            };
            if clients.insert(client.id.clone(), parsed).is_some() {
                return Err(InvalidConfiguration::Taken(client.id.clone()));
            }
        }
        Ok(Clients::new(clients))
    }
}

fn hash(text: &str, name: &str) -> Result<[u8; 32], InvalidConfiguration> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| InvalidConfiguration::Hash(name.to_owned()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        toml::from_str(&format!(
            "issuer = 'https://as.example'\nlisten = '127.0.0.1:0'\nlisten_tls = '127.0.0.1:0'\n\
             state_dir = 'state'\nenclave = 'https://enclave.example'\n\
             host_credential_sha256 = '{hash}'\n\
             [[clients]]\nid = 'a'\nsecret_sha256 = '{hash}'\norg = 'o'\nscopes = ['x:y']\n\
             resource = 'http://127.0.0.1:1/mcp'\n",
            hash = "00".repeat(32),
        ))
        .unwrap()
    }

    fn refusal(change: impl FnOnce(&mut Configuration)) -> Option<InvalidConfiguration> {
        let mut configuration = configuration();
        change(&mut configuration);
        configuration.check().err()
    }

    #[test]
    fn accepts_the_defaults_and_a_loopback_issuer() {
        assert_eq!(refusal(|_| ()), None);
        let settings = configuration().check().unwrap();
        let receipts = settings.receipts;
        assert_eq!((receipts.keep_days, receipts.max_mib), (90, 10 * 1024));
        assert_eq!(receipts.max_owner_mib, 2 * 1024);
        assert_eq!(settings.store, Path::new("state/control-plane.db"));
        for issuer in [
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert_eq!(refusal(|c| c.issuer = issuer.into()), None, "{issuer}");
        }
        for (store, path) in [("sqlite:/a/b.db", "/a/b.db"), ("sqlite:///a.db", "/a.db")] {
            let mut configuration = configuration();
            configuration.store = Some(store.into());
            assert_eq!(configuration.store_path().unwrap(), Path::new(path));
        }
    }

    #[test]
    fn refuses_what_would_not_work() {
        use InvalidConfiguration as I;
        for issuer in [
            "",
            "as.example",
            "http://as.example",
            "https://as.example/",
            "https://as.example/x",
            "https://user@as.example",
            "ftp://as.example",
            "http://127.0.0.1.evil.example",
        ] {
            let error = I::Issuer(issuer.to_owned());
            assert_eq!(refusal(|c| c.issuer = issuer.into()), Some(error));
        }
        let postgres = refusal(|c| c.store = Some("postgres://h/d".into()));
        assert_eq!(postgres, Some(I::Postgres));
        assert!(refusal(|c| c.store = Some("mysql:x".into())).is_some());
        assert!(refusal(|c| c.enclave.push('/')).is_some());
        for ingress in [
            "",
            "host",
            "host:",
            "host:0x",
            "https://h:1",
            "h:1/x",
            "u@h:1",
            "h:70000",
        ] {
            let error = I::Ingress(ingress.to_owned());
            assert_eq!(refusal(|c| c.ingress = Some(ingress.into())), Some(error));
        }
        for ingress in ["enclave.example:443", "192.0.2.1:7443", "[2001:db8::1]:443"] {
            assert_eq!(refusal(|c| c.ingress = Some(ingress.into())), None);
        }
        assert!(refusal(|c| c.access_token_life_s = 0).is_some());
        assert_eq!(refusal(|c| c.receipts.keep_days = 0), Some(I::Receipts));
        assert_eq!(refusal(|c| c.receipts.max_mib = 0), Some(I::Receipts));
        assert_eq!(
            refusal(|c| c.receipts.max_mib = u64::MAX),
            Some(I::Receipts)
        );
        assert!(refusal(|c| c.host_credential_sha256.push('0')).is_some());
        assert!(refusal(|c| c.clients[0].secret_sha256.clear()).is_some());
        assert!(refusal(|c| c.clients[0].id = "a b".into()).is_some());
        assert!(refusal(|c| c.clients[0].scopes.push("a b".into())).is_some());
        assert!(refusal(|c| c.clients[0].resource = Some("/mcp".into())).is_some());
        assert!(refusal(|c| c.clients[0].resource = Some("https://m/#f".into())).is_some());
        let enclave = configuration().enclave;
        assert_eq!(
            refusal(|c| c.clients[0].resource = Some(enclave)),
            Some(I::Taken("a".into()))
        );
        assert!(refusal(|c| c.clients.push(c.clients[0].clone())).is_some());
    }
}
