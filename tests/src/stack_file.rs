//! `stack.json`, as CONTRACT describes it.
use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// `stack.json`, as CONTRACT describes it.
#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct StackFile {
    pub issuer: String,
    pub profile: PathBuf,
    pub control_plane: ControlPlane,
    pub parent: Parent,
    pub enclave: Enclave,
    pub kms: Process,
    pub gateway: Gateway,
    pub mcp: Process,
    pub upstream: Process,
    pub ca: Ca,
    pub trust: Trust,
    pub clients: Clients,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct ControlPlane {
    pub url: String,
    pub pid: u32,
    pub jwks: String,
    pub store: Store,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Store {
    pub path: PathBuf,
    pub table: String,
    pub column: String,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Parent {
    pub ingress: String,
    pub metrics: String,
    pub pid: u32,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Enclave {
    pub pid: u32,
    pub resource: String,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Process {
    pub url: String,
    pub pid: u32,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Gateway {
    pub url: String,
    pub pid: u32,
    pub key: String,
    pub deployment_id: String,
    pub auth_secret: String,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Ca {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Trust {
    pub root: PathBuf,
    pub pcrs: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Clients {
    pub sdk: Client,
    pub mcp: McpClient,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct Client {
    pub client_id: String,
    pub client_secret: String,
}

#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract's own words")]
pub struct McpClient {
    #[serde(flatten)]
    pub client: Client,
    pub resource: String,
}

impl StackFile {
    /// Every pid by the name of its party.
    pub fn pids(&self) -> BTreeMap<&'static str, u32> {
        BTreeMap::from([
            ("control plane", self.control_plane.pid),
            ("parent", self.parent.pid),
            ("enclave", self.enclave.pid),
            ("kms", self.kms.pid),
            ("gateway", self.gateway.pid),
            ("mcp", self.mcp.pid),
            ("upstream", self.upstream.pid),
        ])
    }
}
