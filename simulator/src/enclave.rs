//! The simulated enclave: the enclave library over a simulated NSM and unix sockets.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dauth_enclave::{
    boot::{self, BootError},
    hardening::{MemoryLock, memory_lock_limit},
    platform::{Platform, nsm::NsmAttester},
    trust::{LockAuthority, Trust},
};
use dauth_protocol::measurement::Pcr;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use crate::{
    nsm::{Measurements, SimulatedNsm, SimulatorRoot},
    unix::UnixTransport,
};

/// What stands in for the hypervisor and the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The socket that the enclave listens on.
    pub ingress_socket: PathBuf,
    /// The parent's socket for host services.
    pub host_socket: PathBuf,
    /// Measurement of the image.
    pub pcr0: Pcr,
    /// Measurement of kernel and boot.
    pub pcr1: Pcr,
    /// Measurement of the application.
    pub pcr2: Pcr,
    /// Certificate and key of the simulated NSM's root: PEM.
    pub nsm_root_file: PathBuf,
    /// Who signs the certificate of the simulated KMS: PEM.
    pub kms_root_file: PathBuf,
    /// Who signs the certificates of upstreams: PEM.
    pub upstream_root_file: PathBuf,
}

/// Why the simulated enclave does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no usable certificate", .0.display())]
    Certificate(PathBuf),
    /// The enclave refused to serve.
    #[error(transparent)]
    Boot(#[from] BootError),
}

/// Runs the enclave until `shutdown` resolves.
pub async fn run(
    configuration: Configuration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    warn_of_unlocked_memory();
    let root_pem = read(&configuration.nsm_root_file)?;
    let invalid_root = || RunError::Certificate(configuration.nsm_root_file.clone());
    let root = SimulatorRoot::from_pem(&root_pem).map_err(|_| invalid_root())?;
    let trust = Trust {
        attestation: root.trust_anchors().map_err(|_| invalid_root())?,
        kms: roots(&configuration.kms_root_file)?,
        locks: LockAuthority::Roots,
        upstream: roots(&configuration.upstream_root_file)?,
    };
    let measurements = Measurements {
        pcr0: configuration.pcr0,
        pcr1: configuration.pcr1,
        pcr2: configuration.pcr2,
        role_arn: None,
        instance_id: "i-0123456789abcdef0".to_owned(),
    };
    let nsm = SimulatedNsm::start(&measurements, root, Arc::new(dauth_enclave::clock::now_ms))
        .map_err(|_| invalid_root())?;
    let transport = UnixTransport::new(configuration.ingress_socket, configuration.host_socket);
    let platform = Platform {
        attester: Arc::new(NsmAttester::new(nsm)),
        transport: Arc::new(transport),
    };
    Ok(boot::run(platform, trust, shutdown).await?)
}

/// An enclave has no swap; this machine may.
#[allow(
    clippy::print_stderr,
    reason = "before the boot, stderr is all there is"
)]
fn warn_of_unlocked_memory() {
    if memory_lock_limit() == MemoryLock::Unlocked {
        eprintln!(
            "simulated enclave: warning: the limit on locked memory (ulimit -l) is finite, so memory \
             is not locked and may be written to swap"
        );
    }
}

fn roots(file: &Path) -> Result<Arc<RootCertStore>, RunError> {
    let pem = read(file)?;
    let mut roots = RootCertStore::empty();
    CertificateDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|certificate| roots.add(certificate).ok())
        .ok_or_else(|| RunError::Certificate(file.to_owned()))?;
    Ok(Arc::new(roots))
}

fn read(file: &Path) -> Result<String, RunError> {
    fs::read_to_string(file).map_err(|source| RunError::Read {
        file: file.to_owned(),
        source,
    })
}
