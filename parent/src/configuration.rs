//! What an operator sets, in TOML. Unknown keys are refused.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

mod enclaves;
mod process;

pub use enclaves::{
    AtStop, DebugMode, Enclave, EnclaveName, InvalidEnclaves, MAX_ENCLAVES, Supervisor, Transport,
};
pub use process::{AsRoot, Log, Process};

/// The parent's configuration.
///
/// ```
/// let text = r#"
///     [ingress]
///     listen = "127.0.0.1:7443"
///     enclave = { unix = "/run/dauth/ingress.sock" }
///
///     [host]
///     listen = { unix = "/run/dauth/host.sock" }
///     configuration_file = "/etc/dauth/deployment.json"
///     keyset_file = "/var/lib/dauth/keyset"
///
///     [records]
///     control_plane = "http://127.0.0.1:7080"
///     credential_file = "/etc/dauth/host-credential"
///
///     [egress]
///     permit = ["127.0.0.0/8", "::1/128"]
/// "#;
/// let configuration: dauth_parent::Configuration = toml::from_str(text).unwrap();
/// assert_eq!(configuration.ingress.max_connections, 4096);
/// assert!(toml::from_str::<dauth_parent::Configuration>(&text.replace("permit", "allow")).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// From the network to the enclave.
    pub ingress: Ingress,
    /// What the enclave is served.
    pub host: Host,
    /// Enclaves that the parent starts and keeps running, in place of `ingress.enclave` and
    /// `host.listen`, which name one that someone else runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enclaves: Vec<Enclave>,
    /// How they are started and kept running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<Supervisor>,
    /// Where records are fetched.
    pub records: Records,
    /// From the enclave to the network.
    #[serde(default)]
    pub egress: Egress,
    /// Health and metrics; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// Who the process is once it has bound its listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// `[ingress]`: the byte relay in front of the enclave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// A unix socket where clients of this host connect, beside `listen`; made with mode 0666.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_unix: Option<PathBuf>,
    /// Where the one enclave listens that is not supervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave: Option<Endpoint>,
    /// Connections at one time; further ones are closed at once.
    #[serde(default = "default_ingress_connections")]
    pub max_connections: usize,
    /// A connection on which nothing moves for this long is closed.
    #[serde(default = "default_idle_timeout_s")]
    pub idle_timeout_s: u64,
    /// How long an enclave may take to accept, and how long a connection waits for one to be ready
    /// while supervised ones are started anew.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

/// Where to connect: `{ unix = PATH }`, `{ vsock = { cid = CID, port = PORT } }` or
/// `{ hybrid_vsock = { path = PATH, port = PORT } }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A vsock address.
    Vsock {
        /// The enclave's context identifier.
        cid: u32,
        /// Its port; 5000 unless given.
        #[serde(default = "default_ingress_port")]
        port: u32,
    },
    /// A unix socket of a virtual machine monitor that takes the guest's port by name, as that of
    /// Firecracker does. Host services then listen at the same path with `_5001` appended.
    HybridVsock {
        /// The socket.
        path: PathBuf,
        /// The enclave's port; 5000 unless given.
        #[serde(default = "default_ingress_port")]
        port: u32,
    },
}

/// `[host]`: the services of [`dauth_protocol::host`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Where the one enclave connects that is not supervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<HostListener>,
    /// The deployment configuration, handed over as it is: its bytes are measured.
    pub configuration_file: PathBuf,
    /// The sealed keyset. Beside it lie the keyset of before, and the operator's orders
    /// ([`KeysetFile`](crate::host::KeysetFile)).
    pub keyset_file: PathBuf,
    /// Role credentials as IMDSv2 returns them (JSON); read at each request, so that they can be
    /// renewed in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Connections of each enclave at one time, tunnels included.
    #[serde(default = "default_host_connections")]
    pub max_connections: usize,
    /// Role credentials from the instance metadata service, in place of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imds: Option<Imds>,
}

/// `[host.imds]`: the instance metadata service of EC2, version 2. An empty table will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Imds {
    /// `http://169.254.169.254` unless given; `http://[fd00:ec2::254]` where there is IPv6 alone.
    pub endpoint: String,
    /// How long each of its three answers may take.
    pub timeout_ms: u64,
}

impl Default for Imds {
    fn default() -> Self {
        Self {
            endpoint: "http://169.254.169.254".to_owned(),
            timeout_ms: 2_000,
        }
    }
}

/// Where host services listen: `{ unix = PATH }` or `{ vsock = { port = PORT, peer_cid = CID } }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HostListener {
    /// A unix socket; made with mode 0600.
    Unix(PathBuf),
    /// A vsock port.
    Vsock {
        /// The port; 5001 unless given.
        #[serde(default = "default_host_port")]
        port: u32,
        /// The one peer that is served: any local virtual machine could connect otherwise.
        peer_cid: u32,
    },
}

/// `[records]`: the control plane that keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// Its URL; plain http on loopback alone.
    pub control_plane: String,
    /// The credential that this host shows it, in one line.
    pub credential_file: PathBuf,
    /// Certificate authorities (PEM) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a fetch may take.
    #[serde(default = "default_connect_timeout_ms")]
    pub timeout_ms: u64,
}

/// `[egress]`: what the enclave may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Networks that may be dialled although the guard refuses their kind (private, loopback, …).
    pub permit: Vec<IpNet>,
    /// Networks that may not be dialled although their addresses are public: those of the operator's
    /// own hosts. They come before `permit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// Ports that may be dialled although they belong to other protocols than HTTP.
    pub permit_ports: Vec<u16>,
    /// Names that are not looked up, in the form of `/etc/hosts`. Their addresses are guarded alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts_file: Option<PathBuf>,
    /// How long looking up a name may take.
    pub resolve_timeout_ms: u64,
    /// How long one address may take to connect.
    pub connect_timeout_ms: u64,
    /// A tunnel on which nothing moves for this long is closed.
    pub idle_timeout_s: u64,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            permit: Vec::new(),
            deny: Vec::new(),
            permit_ports: Vec::new(),
            hosts_file: None,
            resolve_timeout_ms: default_connect_timeout_ms(),
            connect_timeout_ms: default_connect_timeout_ms(),
            idle_timeout_s: 900,
        }
    }
}

/// `[monitor]`: `/healthz`, `/readyz`, `/metrics` over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// Where; keep it off the network that clients reach.
    pub listen: SocketAddr,
}

impl Configuration {
    /// Reads and parses `file`.
    pub fn load(file: &Path) -> Result<Self, ConfigurationError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigurationError::Read {
            file: file.to_owned(),
            source,
        })?;
        let configuration: Self = toml::from_str(&text)
            .map_err(|error| ConfigurationError::parse(file, &text, &error))?;
        configuration.check()?;
        Ok(configuration)
    }

    /// What the parser cannot see: keys that exclude or need each other.
    pub fn check(&self) -> Result<(), InvalidEnclaves> {
        enclaves::check(self)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file does not open.
    #[error("cannot read the configuration {}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{}:{line}: {message}", file.display())]
    Parse {
        /// Which.
        file: PathBuf,
        /// Where in it.
        line: usize,
        /// Why, in one line.
        message: String,
    },
    /// The enclaves are not described as a parent can have them.
    #[error(transparent)]
    Enclaves(#[from] InvalidEnclaves),
}

impl ConfigurationError {
    /// The error's own rendering draws the place over several lines.
    fn parse(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        Self::Parse {
            file: file.to_owned(),
            line: 1 + text.get(..start).unwrap_or_default().matches('\n').count(),
            message: error.message().replace('\n', ", "),
        }
    }
}

fn default_ingress_connections() -> usize {
    4096
}

fn default_host_connections() -> usize {
    4096
}

fn default_idle_timeout_s() -> u64 {
    300
}

fn default_connect_timeout_ms() -> u64 {
    5_000
}

fn default_ingress_port() -> u32 {
    dauth_protocol::host::INGRESS_PORT
}

fn default_host_port() -> u32 {
    dauth_protocol::host::HOST_SERVICES_PORT
}
