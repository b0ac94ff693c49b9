//! Configuration that MCP servers and the gateway share: whom they are, and which enclave they trust.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dauth_attestation::{Images, ReferenceValues, TrustAnchors};
use dauth_attested_tls::{Custody, Expectations, KeysetMemory};
use dauth_dispatch::{
    ClientCredentials, DpopKey, EnclaveClient, TokenClient,
    web::{SecureUrl, WebError},
};
use dauth_protocol::measurement::Pcr;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Dispatcher;

/// `[enclave]`: where it is reached, and what it must prove.
///
/// ```
/// let enclave: dauth_mcp::configuration::Enclave = toml::from_str(&format!(r#"
///     ingress = "127.0.0.1:7443"
///     resource = "https://enclave.example"
///     images = [{{ "0" = "{pcr}", "16" = "{pcr}" }}]
/// "#, pcr = "0a".repeat(48))).unwrap();
/// assert!(enclave.expectations("https://issuer.example").is_ok());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enclave {
    /// The parent's ingress, `host:port`.
    pub ingress: String,
    /// The enclave's resource identifier.
    pub resource: String,
    /// The images that are trusted: PCR values by index. Each names PCR0 and PCR16 at least.
    /// There are two during an upgrade, the old and the new one.
    pub images: Vec<BTreeMap<String, Pcr>>,
    /// Roots of attestation (PEM) instead of AWS Nitro's: with a loopback issuer alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_file: Option<PathBuf>,
    /// Where the keyset seen is remembered, so that an older one is refused after a restart too.
    /// Processes may share the file. Without one, this process remembers what it has seen itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_keyset_file: Option<PathBuf>,
    /// Whether the enclave must have found at boot that nobody can change the KMS key's policy.
    #[serde(default)]
    pub locked_key: bool,
    /// How old evidence may be.
    #[serde(default = "default_evidence_age_s")]
    pub evidence_max_age_s: u64,
}

/// A client of the authorization server, and the key that its tokens are bound to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The client id.
    pub id: String,
    /// Its secret, in one line.
    pub secret_file: PathBuf,
    /// The DPoP key (PKCS#8 PEM). It is made, with mode 0600, when there is none: keep it, since
    /// owners pin it.
    pub key_file: PathBuf,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file does not open.
    #[error("cannot read or write {}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is not usable: {reason}", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No images, or one without PCR0 and PCR16.
    #[error("[enclave] images must name at least one image, each with PCR \"0\" and \"16\"")]
    Images,
    /// A root of one's own with a real issuer.
    #[error("[enclave] root_file is for simulators: it needs an issuer on loopback")]
    Root,
    /// The HTTP client does not start.
    #[error(transparent)]
    Web(#[from] WebError),
}

impl Enclave {
    /// What evidence must show.
    pub fn expectations(&self, issuer: &str) -> Result<Expectations, ConfigurationError> {
        Ok(Expectations {
            anchors: self.anchors(issuer)?,
            images: self.images()?,
            audience: self.resource.clone(),
            max_age: Duration::from_secs(self.evidence_max_age_s),
            custody: match self.locked_key {
                true => Custody::LockedKey,
                false => Custody::Any,
            },
            keysets: Arc::new(match &self.seen_keyset_file {
                Some(file) => KeysetMemory::in_file(file),
                None => KeysetMemory::in_process(),
            }),
        })
    }

    fn anchors(&self, issuer: &str) -> Result<TrustAnchors, ConfigurationError> {
        let Some(file) = &self.root_file else {
            return Ok(TrustAnchors::aws_nitro());
        };
        if !SecureUrl::parse(issuer).is_ok_and(|issuer| issuer.is_loopback()) {
            return Err(ConfigurationError::Root);
        }
        TrustAnchors::from_pem(&read(file)?).map_err(|error| content(file, error))
    }

    fn images(&self) -> Result<Images, ConfigurationError> {
        let mut trusted = Vec::new();
        for image in &self.images {
            if !image.contains_key("0") || !image.contains_key("16") {
                return Err(ConfigurationError::Images);
            }
            let mut values = ReferenceValues::new();
            for (index, pcr) in image {
                let index = index.parse().map_err(|_| ConfigurationError::Images)?;
                values = values.with_pcr(index, pcr.as_bytes());
            }
            trusted.push(values);
        }
        if trusted.is_empty() {
            return Err(ConfigurationError::Images);
        }
        Ok(Images::AnyOf(trusted))
    }
}

impl Client {
    /// The client's key: read, or made.
    pub fn key(&self) -> Result<DpopKey, ConfigurationError> {
        let file = &self.key_file;
        match fs::read_to_string(file).map(Zeroizing::new) {
            Ok(pem) => DpopKey::from_pem(&pem).map_err(|error| content(file, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(file),
            Err(source) => Err(ConfigurationError::File {
                file: file.clone(),
                source,
            }),
        }
    }

    /// A dispatcher for this client at `issuer`, through `enclave`.
    pub fn dispatcher(
        &self,
        issuer: &str,
        enclave: &Enclave,
    ) -> Result<Dispatcher, ConfigurationError> {
        let secret = read(&self.secret_file)?;
        let secret = Zeroizing::new(secret.trim_end().to_owned());
        let credentials = ClientCredentials::new(self.id.clone(), secret);
        let tokens = TokenClient::new(issuer, credentials)?;
        let enclave = EnclaveClient::new(enclave.ingress.clone(), enclave.expectations(issuer)?);
        Ok(Dispatcher::new(tokens, enclave, Arc::new(self.key()?)))
    }
}

fn make_key(file: &Path) -> Result<DpopKey, ConfigurationError> {
    let key = DpopKey::generate().map_err(|error| content(file, error))?;
    let pem = key.to_pem().map_err(|error| content(file, error))?;
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| {
            opened.write_all(pem.as_bytes())?;
            opened.sync_all()
        });
    match written {
        Ok(()) => {
            tracing::info!(thumbprint = key.thumbprint().as_str(), "made a DPoP key");
            Ok(key)
        }
        Err(source) => Err(ConfigurationError::File {
            file: file.to_owned(),
            source,
        }),
    }
}

/// A file's text, wiped after use.
pub(crate) fn read(file: &Path) -> Result<Zeroizing<String>, ConfigurationError> {
    fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|source| ConfigurationError::File {
            file: file.to_owned(),
            source,
        })
}

pub(crate) fn content(file: &Path, reason: impl std::fmt::Display) -> ConfigurationError {
    ConfigurationError::Content {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

fn default_evidence_age_s() -> u64 {
    300
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use dauth_attested_tls::Place;

    use super::*;

    fn enclave(images: &str) -> Enclave {
        let text = format!("ingress = \"h:1\"\nresource = \"https://e\"\nimages = {images}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn an_enclave_is_trusted_by_image_and_deployment() {
        let pcr = "0a".repeat(48);
        let issuer = "https://issuer.example";
        assert!(
            enclave(&format!("[{{ 0 = \"{pcr}\", 16 = \"{pcr}\" }}]"))
                .expectations(issuer)
                .is_ok()
        );
        for images in [
            "[]".to_owned(),
            "[{}]".to_owned(),
            format!("[{{ 0 = \"{pcr}\" }}]"),
            format!("[{{ 16 = \"{pcr}\" }}]"),
            format!("[{{ 0 = \"{pcr}\", 16 = \"{pcr}\", x = \"{pcr}\" }}]"),
        ] {
            let refused = enclave(&images).expectations(issuer);
            assert!(
                matches!(refused, Err(ConfigurationError::Images)),
                "{images}"
            );
        }
    }

    #[test]
    fn a_root_of_ones_own_needs_a_loopback_issuer() {
        let pcr = "0a".repeat(48);
        let mut enclave = enclave(&format!("[{{ 0 = \"{pcr}\", 16 = \"{pcr}\" }}]"));
        enclave.root_file = Some("missing.pem".into());
        let refused = enclave.expectations("https://issuer.example");
        assert!(matches!(refused, Err(ConfigurationError::Root)));
        let missing = enclave.expectations("http://127.0.0.1:1");
        assert!(matches!(missing, Err(ConfigurationError::File { .. })));
    }

    #[test]
    fn the_keyset_seen_is_remembered_where_told_and_a_locked_key_is_required_when_told() {
        let image = "[{ 0 = \"{pcr}\", 16 = \"{pcr}\" }]".replace("{pcr}", &"0a".repeat(48));
        let issuer = "https://issuer.example";
        let usual = enclave(&image).expectations(issuer).unwrap();
        assert_eq!(usual.keysets.place(), &Place::Process);
        assert_eq!(usual.custody, Custody::Any);
        let more = format!("{image}\nseen_keyset_file = \"seen.json\"\nlocked_key = true");
        let strict = enclave(&more).expectations(issuer).unwrap();
        assert_eq!(strict.keysets.place(), &Place::File("seen.json".into()));
        assert_eq!(strict.custody, Custody::LockedKey);
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client {
            id: "mcp".into(),
            secret_file: folder.path().join("secret"),
            key_file: folder.path().join("key.pem"),
        };
        let made = client.key().unwrap().thumbprint();
        assert_eq!(client.key().unwrap().thumbprint(), made);
        let mode = fs::metadata(&client.key_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
