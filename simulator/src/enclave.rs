//! The simulated enclave: the enclave library over a simulated NSM, and over unix sockets or vsock.
mod configuration;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dauth_enclave::{
    boot::{self, BootError},
    hardening::{MemoryLock, memory_lock_limit},
    platform::{self, Platform, nsm::NsmAttester, vsock::Vsock},
    trust::{LockAuthority, Trust},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

pub use self::configuration::{Configuration, Transport};
use crate::{
    nsm::{Measurements, SimulatedNsm, SimulatorRoot},
    unix::UnixTransport,
};

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
    let transport: Arc<dyn platform::Transport> = match configuration.transport {
        Transport::Unix {
            ingress_socket,
            host_socket,
        } => Arc::new(UnixTransport::new(ingress_socket, host_socket)),
        Transport::Vsock { parent_cid } => Arc::new(Vsock::new(parent_cid)),
    };
    let platform = Platform {
        attester: Arc::new(NsmAttester::new(nsm)),
        transport,
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
