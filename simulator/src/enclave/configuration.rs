//! What stands in for the hypervisor and the image, as its file has it.
use std::path::PathBuf;

use dauth_protocol::measurement::Pcr;
use serde::{Deserialize, Serialize};

/// What stands in for the hypervisor and the image.
///
/// ```
/// use dauth_simulator::enclave::{Configuration, Transport};
///
/// let rest = format!(
///     "pcr0 = '{0}'\npcr1 = '{0}'\npcr2 = '{0}'\nnsm_root_file = 'nsm.pem'\n\
///      kms_root_file = 'kms.pem'\nupstream_root_file = 'upstream.pem'\n",
///     "ab".repeat(48),
/// );
/// let unix = format!("ingress_socket = 'a'\nhost_socket = 'b'\n{rest}");
/// let read = toml::from_str::<Configuration>(&unix).unwrap();
/// assert!(matches!(read.transport, Transport::Unix { .. }));
///
/// let vsock = format!("parent_cid = 2\n{rest}");
/// let read = toml::from_str::<Configuration>(&vsock).unwrap();
/// assert_eq!(read.transport, Transport::Vsock { parent_cid: 2 });
///
/// let both = format!("parent_cid = 2\n{unix}");
/// assert!(toml::from_str::<Configuration>(&both).is_err());
/// assert!(toml::from_str::<Configuration>(&rest).is_err());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct Configuration {
    /// How the parent is reached, and reaches the enclave.
    pub transport: Transport,
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

/// Between the simulated enclave and the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Two sockets of one machine.
    Unix {
        /// The socket that the enclave listens on.
        ingress_socket: PathBuf,
        /// The parent's socket for host services.
        host_socket: PathBuf,
    },
    /// AF_VSOCK, as in an enclave: for a simulated enclave inside of a virtual machine.
    Vsock {
        /// The parent's context identifier.
        parent_cid: u32,
    },
}

/// Not one transport.
#[derive(Debug, thiserror::Error)]
#[error("name either ingress_socket and host_socket, or parent_cid")]
struct NotOneTransport;

/// The file, with the transport's fields among the others.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ingress_socket: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_socket: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_cid: Option<u32>,
    pcr0: Pcr,
    pcr1: Pcr,
    pcr2: Pcr,
    nsm_root_file: PathBuf,
    kms_root_file: PathBuf,
    upstream_root_file: PathBuf,
}

impl TryFrom<File> for Configuration {
    type Error = NotOneTransport;

    fn try_from(file: File) -> Result<Self, NotOneTransport> {
        let transport = match (file.ingress_socket, file.host_socket, file.parent_cid) {
            (Some(ingress_socket), Some(host_socket), None) => Transport::Unix {
                ingress_socket,
                host_socket,
            },
            (None, None, Some(parent_cid)) => Transport::Vsock { parent_cid },
            _ => return Err(NotOneTransport),
        };
        Ok(Self {
            transport,
            pcr0: file.pcr0,
            pcr1: file.pcr1,
            pcr2: file.pcr2,
            nsm_root_file: file.nsm_root_file,
            kms_root_file: file.kms_root_file,
            upstream_root_file: file.upstream_root_file,
        })
    }
}

impl From<Configuration> for File {
    fn from(configuration: Configuration) -> Self {
        let (ingress_socket, host_socket, parent_cid) = match configuration.transport {
            Transport::Unix {
                ingress_socket,
                host_socket,
            } => (Some(ingress_socket), Some(host_socket), None),
            Transport::Vsock { parent_cid } => (None, None, Some(parent_cid)),
        };
        Self {
            ingress_socket,
            host_socket,
            parent_cid,
            pcr0: configuration.pcr0,
            pcr1: configuration.pcr1,
            pcr2: configuration.pcr2,
            nsm_root_file: configuration.nsm_root_file,
            kms_root_file: configuration.kms_root_file,
            upstream_root_file: configuration.upstream_root_file,
        }
    }
}
