//! The control plane's connections, over DPoP-bound requests.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_dispatch::{
    AccessToken, DpopKey, ResourceClient, ResourceError, Stated,
    web::{InsecureUrl, Reply, SecureUrl, WebError},
};
use dauth_protocol::{Code, Fingerprint, Handle, Policy, audit::ReceiptsPage};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::{AdmittedRecord, Connection, seal::Sealing};

/// The vault of one issuer.
#[derive(Debug)]
pub(crate) struct Vault {
    resource: ResourceClient,
    /// `{issuer}/v1`.
    base: String,
}

/// What the vault says of a record that it has stored.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) version: u64,
}

/// A connection with its record and receipt, where the vault returns them.
#[derive(Debug, Deserialize)]
pub(crate) struct WithRecord {
    #[serde(flatten)]
    pub(crate) connection: Connection,
    #[serde(default)]
    pub(crate) record: Option<String>,
    #[serde(default)]
    pub(crate) receipt: Option<String>,
}

/// Why the vault did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The issuer is no URL that may be used.
    #[error(transparent)]
    Url(#[from] InsecureUrl),
    /// The vault refused, or was not reached.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// No such connection of this owner.
    #[error("there is no connection {0}; `dauth connections list` shows those there are")]
    NotFound(Handle),
    /// The answer is not the one that the request has.
    #[error("the control plane's answer is malformed")]
    Malformed,
    /// The vault stored something else than it was given.
    #[error("the control plane says that it stored another record than the one admitted")]
    OtherRecord,
}

impl VaultError {
    /// The code, when the control plane gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            VaultError::NotFound(_) => Some(Code::ConnectionNotFound),
            VaultError::Resource(ResourceError::Refused {
                stated: Stated::Dauth(refusal),
                ..
            }) => Some(refusal.code),
            _ => None,
        }
    }
}

/// An admitted record on its way into the vault, with what the vault lists of it.
pub(crate) struct Deposit<'a> {
    admitted: &'a AdmittedRecord,
    policy: &'a Policy,
    version: u64,
    expires: u64,
}

impl<'a> Deposit<'a> {
    /// What was sealed, as the enclave admitted it.
    pub(crate) fn of(sealing: &Sealing<'a>, admitted: &'a AdmittedRecord) -> Self {
        Self {
            admitted,
            policy: sealing.policy,
            version: sealing.version,
            expires: sealing.expires,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let servers: Vec<&str> = (self.policy.servers.iter())
            .map(|server| server.resource.as_str())
            .collect();
        json!({
            "record": STANDARD.encode(self.admitted.record()),
            "receipt": STANDARD.encode(self.admitted.receipt()),
            "base_url": self.policy.base_url.to_string(),
            "servers": servers,
            "expires": self.expires,
        })
    }
}

impl Vault {
    pub(crate) fn new(issuer: &str) -> Result<Self, WebError> {
        Ok(Self {
            resource: ResourceClient::new()?,
            base: format!("{}/v1", issuer.trim_end_matches('/')),
        })
    }

    pub(crate) async fn create(
        &self,
        handle: &Handle,
        name: &str,
        deposit: &Deposit<'_>,
        access: &Access<'_>,
    ) -> Result<(), VaultError> {
        let mut json = deposit.to_json();
        json["handle"] = handle.as_str().into();
        json["name"] = name.into();
        let reply = self
            .send(Method::POST, "/connections", Some(&json), access)
            .await?;
        check_stored(&reply, deposit)
    }

    pub(crate) async fn replace(
        &self,
        handle: &Handle,
        deposit: &Deposit<'_>,
        access: &Access<'_>,
    ) -> Result<(), VaultError> {
        let below = format!("/connections/{handle}/rotate");
        let mut json = deposit.to_json();
        // Of two rotations at once, the vault refuses the second.
        json["version"] = deposit.version.into();
        let sent = self.send(Method::POST, &below, Some(&json), access).await;
        check_stored(&sent.map_err(|error| named(error, handle))?, deposit)
    }

    pub(crate) async fn list(&self, access: &Access<'_>) -> Result<Vec<Connection>, VaultError> {
        #[derive(Deserialize)]
        struct List {
            connections: Vec<Connection>,
        }
        let reply = self.send(Method::GET, "/connections", None, access).await?;
        parse::<List>(&reply).map(|list| list.connections)
    }

    pub(crate) async fn show(
        &self,
        handle: &Handle,
        access: &Access<'_>,
    ) -> Result<WithRecord, VaultError> {
        let below = format!("/connections/{handle}");
        let sent = self.send(Method::GET, &below, None, access).await;
        let reply = sent.map_err(|error| named(error, handle))?;
        let shown: WithRecord = parse(&reply)?;
        if &shown.connection.handle == handle {
            Ok(shown)
        } else {
            Err(VaultError::Malformed)
        }
    }

    pub(crate) async fn revoke(
        &self,
        handle: &Handle,
        access: &Access<'_>,
    ) -> Result<(), VaultError> {
        let below = format!("/connections/{handle}");
        let sent = self.send(Method::DELETE, &below, None, access).await;
        sent.map(drop).map_err(|error| named(error, handle))
    }

    /// One page of receipts; `query` is escaped.
    pub(crate) async fn receipts(
        &self,
        query: &str,
        access: &Access<'_>,
    ) -> Result<ReceiptsPage, VaultError> {
        let below = format!("/receipts?{query}");
        parse(&self.send(Method::GET, &below, None, access).await?)
    }

    async fn send(
        &self,
        method: Method,
        below: &str,
        json: Option<&serde_json::Value>,
        access: &Access<'_>,
    ) -> Result<Reply, VaultError> {
        let url = SecureUrl::parse(&format!("{}{below}", self.base))?;
        let sent = self
            .resource
            .send(method, &url, json, access.token, access.key);
        Ok(sent.await?)
    }
}

/// The owner's token for the vault, and the key that it is bound to.
pub(crate) struct Access<'a> {
    pub(crate) token: &'a AccessToken,
    pub(crate) key: &'a DpopKey,
}

fn named(error: VaultError, handle: &Handle) -> VaultError {
    match error {
        VaultError::Resource(ResourceError::Refused { status: 404, .. }) => {
            VaultError::NotFound(handle.clone())
        }
        other => other,
    }
}

fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, VaultError> {
    serde_json::from_slice(&reply.body).map_err(|_| VaultError::Malformed)
}

fn check_stored(reply: &Reply, deposit: &Deposit<'_>) -> Result<(), VaultError> {
    let stored: Stored = parse(reply)?;
    if stored.fingerprint == deposit.admitted.fingerprint() && stored.version == deposit.version {
        Ok(())
    } else {
        Err(VaultError::OtherRecord)
    }
}
