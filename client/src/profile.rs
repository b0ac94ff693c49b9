//! The profile: one TOML file that names issuer, enclave, trust and the owner's key.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use dauth_attestation::{AnchorError, Policy, TrustAnchors};
use dauth_attested_tls::{Custody, Expectations, KeysetMemory, private_file};
use dauth_dispatch::{
    DpopKey, DpopKeyError,
    web::{InsecureUrl, SecureUrl},
};
use zeroize::Zeroizing;

use crate::{
    Trust,
    trust::{AWS, Root, parse_pcrs, written_pcrs},
};

mod written;

use written::{Written, WrittenOperator, WrittenSecret, WrittenTrust};

/// A file longer than this is no profile, key or root.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Whom to ask, and whom to trust. It holds the client's secret and is written for its owner alone.
#[derive(Clone)]
pub struct Profile {
    /// The authorization server, byte for byte.
    pub issuer: String,
    /// The client's id there.
    pub client_id: String,
    /// The client's secret there.
    pub client_secret: Zeroizing<String>,
    /// The parent's ingress: `host:port`.
    pub ingress: String,
    /// The enclave's resource identifier, byte for byte.
    pub resource: String,
    /// Root and PCR values.
    pub trust: Trust,
    /// The file of the owner's DPoP key (PEM).
    pub owner_key: PathBuf,
    /// The keyset file of the enclave's host: for `dauth keys`, where the profile is its operator's.
    pub operator_keyset: Option<PathBuf>,
    /// The keysets seen so far. Those of a profile that was loaded are in a file beside it:
    /// `profile.keyset.json` for `profile.toml`.
    pub keysets: Arc<KeysetMemory>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file, or one that it names, cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Too long for what it should be.
    #[error("{}: the file is longer than a profile, key or root can be", .0.display())]
    TooLong(PathBuf),
    /// Not TOML, or a field is unknown, missing or of another kind.
    #[error("{path}: line {line}: {message}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What was wrong, without the line's text, which may be a secret.
        message: String,
    },
    /// The profile cannot be written as TOML.
    #[error("the profile cannot be written: {0}")]
    Write(#[source] toml::ser::Error),
    /// The issuer is no URL that credentials may be sent to.
    #[error("the profile's issuer cannot be used: {0}")]
    Issuer(#[from] InsecureUrl),
    /// A root that is not AWS's, for an issuer on another machine.
    #[error(
        "a root other than AWS's is trusted only with an issuer on this machine, and {0:?} is on \
         another; set trust.root to \"aws\""
    )]
    ForeignRoot(String),
    /// Neither `trust.pcrs` nor `trust.releases`.
    #[error(
        "the profile names no image to trust; put the PCR values of the signed release manifest \
         into [trust.pcrs]"
    )]
    NoRelease,
    /// No reference value for a register that must be pinned.
    #[error(
        "the profile has a release without a value for PCR{0}; take it from the signed release \
         manifest"
    )]
    MissingPcr(u16),
    /// A register or value that is none.
    #[error("trust: {0:?} is not a register from 0 to 31 with 96 hexadecimal digits")]
    Pcr(String),
    /// The root file holds no root.
    #[error("{path}: {source}", path = .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: AnchorError,
    },
    /// The owner's key file holds no key.
    #[error("{path}: {source}", path = .path.display())]
    OwnerKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DpopKeyError,
    },
}

impl Profile {
    /// Reads and checks a profile. Relative paths in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = Zeroizing::new(read(path)?);
        let written: Written =
            toml::from_str(&text).map_err(|error| malformed(path, &text, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let profile = Self {
            issuer: written.issuer,
            client_id: written.client_id,
            client_secret: written.client_secret.0,
            ingress: written.ingress,
            resource: written.resource,
            trust: Trust {
                root: match written.trust.root.as_str() {
                    AWS => Root::Aws,
                    file => Root::Pem(folder.join(file)),
                },
                pcrs: parse_pcrs(&written.trust.pcrs)?,
                releases: (written.trust.releases.iter())
                    .map(parse_pcrs)
                    .collect::<Result<_, _>>()?,
                custody: match written.trust.locked_key {
                    true => Custody::LockedKey,
                    false => Custody::Any,
                },
            },
            owner_key: folder.join(written.owner_key),
            operator_keyset: written.operator.map(|named| folder.join(named.keyset)),
            keysets: Arc::new(KeysetMemory::in_file(path.with_extension("keyset.json"))),
        };
        profile.check()?;
        Ok(profile)
    }

    /// Writes the profile atomically, readable by its owner alone.
    pub fn save(&self, path: &Path) -> Result<(), ProfileError> {
        self.check()?;
        let written = Written {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: WrittenSecret(self.client_secret.clone()),
            ingress: self.ingress.clone(),
            resource: self.resource.clone(),
            owner_key: self.owner_key.clone(),
            trust: WrittenTrust {
                root: match &self.trust.root {
                    Root::Aws => AWS.to_owned(),
                    Root::Pem(path) => path.to_string_lossy().into_owned(),
                },
                locked_key: self.trust.custody == Custody::LockedKey,
                pcrs: written_pcrs(&self.trust.pcrs),
                releases: self.trust.releases.iter().map(written_pcrs).collect(),
            },
            operator: (self.operator_keyset.clone()).map(|keyset| WrittenOperator { keyset }),
        };
        let text = Zeroizing::new(toml::to_string(&written).map_err(ProfileError::Write)?);
        private_file::write(path, text.as_bytes()).map_err(|source| file(path, source))
    }

    fn check(&self) -> Result<(), ProfileError> {
        let issuer = SecureUrl::parse(&self.issuer)?;
        if self.trust.root != Root::Aws && !issuer.is_loopback() {
            return Err(ProfileError::ForeignRoot(self.issuer.clone()));
        }
        self.trust.check()
    }

    /// What evidence must show.
    pub fn expectations(&self) -> Result<Expectations, ProfileError> {
        self.check()?;
        let anchors = match &self.trust.root {
            Root::Aws => TrustAnchors::aws_nitro(),
            Root::Pem(path) => {
                let root = |source| ProfileError::Root {
                    path: path.clone(),
                    source,
                };
                TrustAnchors::from_pem(&read(path)?).map_err(root)?
            }
        };
        Ok(Expectations {
            anchors,
            images: self.trust.images(),
            audience: self.resource.clone(),
            max_age: Policy::DEFAULT_MAX_AGE,
            custody: self.trust.custody,
            keysets: Arc::clone(&self.keysets),
        })
    }

    /// The owner's key.
    pub fn load_owner_key(&self) -> Result<DpopKey, ProfileError> {
        let pem = Zeroizing::new(read(&self.owner_key)?);
        DpopKey::from_pem(&pem).map_err(|source| ProfileError::OwnerKey {
            path: self.owner_key.clone(),
            source,
        })
    }
}

impl core::fmt::Debug for Profile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Profile")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("ingress", &self.ingress)
            .field("resource", &self.resource)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<String, ProfileError> {
    let length = fs::metadata(path)
        .map_err(|source| file(path, source))?
        .len();
    if length > MAX_FILE_BYTES {
        return Err(ProfileError::TooLong(path.to_owned()));
    }
    fs::read_to_string(path).map_err(|source| file(path, source))
}

fn file(path: &Path, source: io::Error) -> ProfileError {
    let path = path.to_owned();
    ProfileError::File { path, source }
}

/// The place and the kind of an error. `toml`'s own display shows the line, secret and all.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> ProfileError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    ProfileError::Malformed {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        message: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests;
