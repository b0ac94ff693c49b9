//! What the simulated KMS is told, in TOML. Unknown keys are refused; secrets are in files.
use std::{fs, io, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    key::{Grant, KeyState, Origin},
    policy_file::PolicyFileError,
};

/// The configuration.
///
/// ```
/// let text = r#"
///     listen = "127.0.0.1:8443"
///     tls_certificate_file = "kms.pem"
///     tls_key_file = "kms.key"
///     attestation_root_file = "root.pem"
///     region = "eu-west-1"
///
///     [[keys]]
///     key_arn = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-0000-0000-000000000000"
///     key_policy_file = "policy.json"
///     master_key_file = "master"
///
///     [[principals]]
///     arn = "arn:aws:iam::000000000000:role/dauth-parent"
///     access_key_id = "AKIASIMULATED"
///     secret_access_key_file = "secret"
/// "#;
/// let configuration: dauth_simulator::kms::Configuration = toml::from_str(text).unwrap();
/// assert_eq!(configuration.principals.len(), 1);
/// assert!(configuration.keys[0].grants.is_empty());
/// let unknown = text.replace("region", "regoin");
/// assert!(toml::from_str::<dauth_simulator::kms::Configuration>(&unknown).is_err());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Where to listen, for HTTPS.
    pub listen: SocketAddr,
    /// The server's certificate chain: PEM.
    pub tls_certificate_file: PathBuf,
    /// Its private key: PEM.
    pub tls_key_file: PathBuf,
    /// Who signs attestation documents: PEM. Only certificates are read from the file.
    pub attestation_root_file: PathBuf,
    /// The region that requests are signed for.
    pub region: String,
    /// The KMS keys.
    pub keys: Vec<KeyConfiguration>,
    /// Who may sign requests.
    pub principals: Vec<PrincipalConfiguration>,
}

/// `[[keys]]`: a KMS key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfiguration {
    /// Its full ARN.
    pub key_arn: String,
    /// Its policy: JSON, as for KMS. A change is in force with the next request.
    pub key_policy_file: PathBuf,
    /// The key itself; made at the first start.
    pub master_key_file: PathBuf,
    /// Where `DescribeKey` says that the key comes from.
    #[serde(default)]
    pub origin: Origin,
    /// Whether `DescribeKey` says that it may have replicas.
    #[serde(default)]
    pub multi_region: bool,
    /// Whether it can be used.
    #[serde(default)]
    pub state: KeyState,
    /// Grants that were made for it.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

impl KeyConfiguration {
    /// A key as KMS makes one: of its own material, of one region, enabled, without grants.
    pub fn new(key_arn: String, key_policy_file: PathBuf, master_key_file: PathBuf) -> Self {
        Self {
            key_arn,
            key_policy_file,
            master_key_file,
            origin: Origin::default(),
            multi_region: false,
            state: KeyState::default(),
            grants: Vec::new(),
        }
    }
}

/// `[[principals]]`: an AWS principal with one access key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalConfiguration {
    /// The ARN that the key policy names.
    pub arn: String,
    /// Names the access key.
    pub access_key_id: String,
    /// Holds the secret access key; white space at its end is ignored.
    pub secret_access_key_file: PathBuf,
}

/// Why the simulated KMS does not run.
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
    /// The configuration is no TOML of this shape.
    #[error("{}:{line}: {message}", file.display())]
    Configuration {
        /// Which.
        file: PathBuf,
        /// Where in it.
        line: usize,
        /// Why, in one line.
        message: String,
    },
    /// A key policy cannot be read, or is not one that is simulated.
    #[error("{}: {source}", file.display())]
    KeyPolicy {
        /// Which.
        file: PathBuf,
        /// Why.
        source: PolicyFileError,
    },
    /// A file holds no certificate that may sign documents.
    #[error("{} holds no attestation root: {source}", file.display())]
    AttestationRoot {
        /// Which.
        file: PathBuf,
        /// Why.
        source: dauth_attestation::AnchorError,
    },
    /// Certificate and key do not make a TLS server.
    #[error("{} and {} do not make a TLS server", certificate.display(), key.display())]
    Tls {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The KMS key cannot be read or made.
    #[error("{}: {source}", file.display())]
    MasterKey {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody could sign a request.
    #[error("the configuration names no principal")]
    NoPrincipals,
    /// There is nothing to use.
    #[error("the configuration has no key")]
    NoKeys,
    /// Two keys have one name.
    #[error("the configuration has two keys of the ARN {0}")]
    SameArn(String),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Configuration {
    /// Reads the configuration in `file`.
    pub fn load(file: PathBuf) -> Result<Self, RunError> {
        let text = read(file.clone())?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            RunError::Configuration {
                file,
                line: 1 + text.get(..start).unwrap_or_default().matches('\n').count(),
                // The error's own rendering draws the place over several lines.
                message: error.message().replace('\n', ", "),
            }
        })
    }
}

pub(super) fn read(file: PathBuf) -> Result<String, RunError> {
    fs::read_to_string(&file).map_err(|source| RunError::Read { file, source })
}
