//! The state directory: what is chosen at the first start and kept.
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use dauth_client::private_file;
use dauth_protocol::measurement::Pcr;
use dauth_simulator::{KMS_CA_NAME, UPSTREAM_CA_NAME, ca::Authority, nsm::SimulatorRoot};
use serde::{Deserialize, Serialize};

use super::party::Party;
use crate::failure::{Failure, sentence};

/// How long a kept port may still be taken by a simulation that was killed.
const PORTS_TIMEOUT: Duration = Duration::from_secs(2);
const PORTS_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A listener of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Port {
    /// KMS, https.
    Kms,
    /// Control plane, http.
    ControlPlane,
    /// Control plane's key set, https with a pinned key.
    Jwks,
    /// Parent's ingress to the enclave.
    Ingress,
    /// Parent's health and metrics.
    Monitor,
    /// Demo API, https.
    Upstream,
    /// Gateway.
    Gateway,
    /// Demo MCP server.
    Mcp,
}

/// Below the range of ephemeral ports (`net.ipv4.ip_local_port_range`), above well-known services.
const PORTS: std::ops::Range<u16> = 10_240..32_768;

impl Port {
    const ALL: [Port; 8] = [
        Port::Kms,
        Port::ControlPlane,
        Port::Jwks,
        Port::Ingress,
        Port::Monitor,
        Port::Upstream,
        Port::Gateway,
        Port::Mcp,
    ];
}

/// What is kept in `simulation.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// Names the deployment.
    pub(crate) deployment: String,
    /// Every listener's port on loopback.
    pub(crate) ports: BTreeMap<Port, u16>,
    /// Measurements of the simulated image.
    pub(crate) pcrs: [Pcr; 3],
}

/// The state directory of one simulation, held by one process at a time.
pub(crate) struct State {
    dir: PathBuf,
    kept: Kept,
    _lock: File,
}

impl State {
    /// Opens a state directory, and makes everything that is kept in it at the first start.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::refused(format!("{}: {e}", dir.display()));
        private_dir(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let lock = lock(&dir)?;
        // That of an earlier run names processes that are gone.
        match fs::remove_file(dir.join("stack.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for party in Party::ALL {
            private_dir(&dir.join(party.name())).map_err(failed)?;
        }
        for folder in ["logs", "run", "trust", "clients"] {
            private_dir(&dir.join(folder)).map_err(failed)?;
        }
        let file = dir.join("simulation.toml");
        let kept = match fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).map_err(|e| {
                Failure::refused(format!(
                    "{} is not one of this version's; choose another --state-dir: {}",
                    file.display(),
                    e.message()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kept = Kept::choose().map_err(failed)?;
                make_authorities(&dir)?;
                let text = toml::to_string(&kept)
                    .map_err(|e| Failure::refused(format!("{}: {e}", file.display())))?;
                // Last: a directory without this file is one whose first start did not finish.
                private_file::write(&file, text.as_bytes()).map_err(failed)?;
                kept
            }
            Err(error) => return Err(failed(error)),
        };
        let state = Self {
            dir,
            kept,
            _lock: lock,
        };
        state.check_ports()?;
        Ok(state)
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the directory.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// What was chosen at the first start.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A listener's port.
    pub(crate) fn port(&self, port: Port) -> u16 {
        self.kept.ports.get(&port).copied().unwrap_or_default()
    }

    /// A listener's address.
    pub(crate) fn address(&self, port: Port) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port(port)).into()
    }

    /// A listener's URL.
    pub(crate) fn url(&self, scheme: &str, port: Port) -> String {
        format!("{scheme}://{}", self.address(port))
    }

    /// The authority that signs upstreams' certificates.
    pub(crate) fn upstream_authority(&self) -> Result<Authority, Failure> {
        self.authority(UPSTREAM_CA_NAME, "upstream-ca")
    }

    /// The authority that signs the simulated KMS's certificate.
    pub(crate) fn kms_authority(&self) -> Result<Authority, Failure> {
        self.authority(KMS_CA_NAME, "kms-ca")
    }

    fn authority(&self, name: &str, file: &str) -> Result<Authority, Failure> {
        let read = |ending: &str| {
            let path = self.path(&format!("trust/{file}{ending}"));
            fs::read_to_string(&path)
                .map_err(|e| Failure::refused(format!("cannot read {}: {e}", path.display())))
        };
        Ok(Authority::from_pem(name, read(".pem")?, read("-key.pem")?))
    }

    /// A secret kept in a file, made at the first start: 32 random bytes, hexadecimal.
    pub(crate) fn secret(&self, below: &str) -> Result<String, Failure> {
        let path = self.path(below);
        let failed = |e: io::Error| Failure::refused(format!("{}: {e}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = hex::encode(random::<32>().map_err(failed)?);
                private_file::write(&path, secret.as_bytes()).map_err(failed)?;
                Ok(secret)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes a file that its owner alone may read.
    pub(crate) fn write(&self, below: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(below);
        private_file::write(&path, bytes)
            .map_err(|e| Failure::refused(format!("cannot write {}: {e}", path.display())))
    }

    /// A port that another program has taken is told here, not by a party's log.
    fn check_ports(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PORTS_TIMEOUT;
        for port in Port::ALL {
            let address = self.address(port);
            let bound = loop {
                match TcpListener::bind(address) {
                    // The parties of a simulation that was killed are still stopping.
                    Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                        sleep(PORTS_AGAIN_AFTER);
                    }
                    bound => break bound,
                }
            };
            bound.map_err(|e| {
                Failure::refused(format!(
                    "{address} is kept for this simulation but cannot be listened on ({e}); \
                     stop what uses it, or choose another --state-dir"
                ))
            })?;
        }
        Ok(())
    }
}

impl Kept {
    fn choose() -> io::Result<Self> {
        let listeners = free_listeners()?;
        let ports = Port::ALL
            .into_iter()
            .zip(&listeners)
            .map(|(port, listener)| Ok((port, listener.local_addr()?.port())))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            deployment: format!("simulation-{}", hex::encode(random::<4>()?)),
            ports,
            pcrs: [
                random::<48>()?.into(),
                random::<48>()?.into(),
                random::<48>()?.into(),
            ],
        })
    }
}

/// Listeners on ports that are free now, and that the system gives to nobody who asks for any port:
/// between this and the start of the last party, others connect and listen.
fn free_listeners() -> io::Result<Vec<TcpListener>> {
    const ATTEMPTS: usize = 64;
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port));
    let count = u16::try_from(Port::ALL.len()).unwrap_or(u16::MAX);
    for _ in 0..ATTEMPTS {
        let block = u16::from_ne_bytes(random()?) % ((PORTS.end - PORTS.start) / count);
        let first = PORTS.start + block * count;
        if let Ok(listeners) = (first..first + count).map(listen).collect() {
            return Ok(listeners);
        }
    }
    // All bound before any is released, so that no two are the same.
    Port::ALL.iter().map(|_| listen(0)).collect()
}

fn make_authorities(dir: &Path) -> Result<(), Failure> {
    let trust = dir.join("trust");
    let failed = |e: io::Error| Failure::refused(format!("{}: {e}", trust.display()));
    for (name, file) in [(UPSTREAM_CA_NAME, "upstream-ca"), (KMS_CA_NAME, "kms-ca")] {
        let authority = Authority::create(name).map_err(|e| Failure::refused(sentence(&e)))?;
        let certificate = trust.join(format!("{file}.pem"));
        private_file::write(&certificate, authority.certificate_pem().as_bytes())
            .map_err(failed)?;
        let key = trust.join(format!("{file}-key.pem"));
        private_file::write(&key, authority.key_pem().as_bytes()).map_err(failed)?;
    }
    let root = SimulatorRoot::create(dauth_enclave::clock::now_s())
        .map_err(|e| Failure::refused(sentence(&e)))?;
    private_file::write(&trust.join("nsm-root-key.pem"), root.to_pem().as_bytes())
        .map_err(failed)?;
    private_file::write(
        &trust.join("nsm-root.pem"),
        root.certificate_pem().as_bytes(),
    )
    .map_err(failed)
}

/// One simulation per directory: two would take each other's sockets.
fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Failure::refused(format!("{}: {e}", path.display())))?;
    file.try_lock().map_err(|_| {
        Failure::refused(format!(
            "another simulation runs on {}; stop it, or choose another --state-dir",
            dir.display()
        ))
    })?;
    Ok(file)
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(bytes)
}
