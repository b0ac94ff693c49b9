//! What a release is known by: a manifest with its PCRs, signed; and files of values to trust.
//!
//! The signature is that of [minisign](https://jedisct1.github.io/minisign/): Ed25519 over the
//! BLAKE2b-512 of the manifest's bytes, in a file beside it. Nothing here makes one: the release key
//! stays where `minisign` runs.
use dauth_protocol::measurement::Pcr;
use serde::{Deserialize, Serialize};

mod digest;
mod key;
mod trust;

pub use digest::{InvalidSha256, Sha256};
pub use key::{KeyError, ReleaseKey};
pub use trust::{Trust, TrustError, TrustFile};

/// A manifest is a few hundred bytes, and a file of PCRs a few KiB.
pub const MAX_TRUST_FILE_BYTES: usize = 64 * 1024;
/// A minisign signature is four lines.
pub const MAX_SIGNATURE_BYTES: usize = 4 * 1024;

/// One version of the enclave image: what it was built from, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "type")]
    manifest_type: ManifestType,
    /// The version of the release.
    pub version: String,
    /// The commit of the source that the image was built from.
    pub commit: String,
    /// What the hypervisor measures of the image.
    pub pcrs: ImagePcrs,
    /// The SHA-256 of the image's file.
    pub eif_sha256: Sha256,
    /// The SHA-256 of the enclave's program.
    pub enclave_sha256: Sha256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ManifestType {
    #[serde(rename = "dauth-release/1")]
    Release1,
}

/// The PCRs of an image, all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePcrs {
    /// The whole image.
    #[serde(rename = "0")]
    pub pcr0: Pcr,
    /// Kernel, command line and first ramdisk.
    #[serde(rename = "1")]
    pub pcr1: Pcr,
    /// The application.
    #[serde(rename = "2")]
    pub pcr2: Pcr,
}

/// What a manifest is written from.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The version of the release.
    pub version: &'a str,
    /// The commit of the source, in hexadecimal.
    pub commit: &'a str,
    /// The image.
    pub eif: &'a [u8],
    /// The enclave's program.
    pub enclave: &'a [u8],
}

/// A manifest cannot be written of this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The image is none.
    #[error(transparent)]
    Eif(#[from] crate::EifError),
    /// The program is not in the image: the manifest would name two things.
    #[error("the enclave's program is not in the image")]
    OtherProgram,
    /// The commit is not what git names one by.
    #[error("'{0}' is not a commit: 40 or 64 hexadecimal digits")]
    Commit(String),
    /// No version.
    #[error("a version has 1 to 64 characters, none of them a space")]
    Version,
}

impl Draft<'_> {
    /// The manifest, measured from the image.
    pub fn manifest(&self) -> Result<Manifest, DraftError> {
        let is_hex = self.commit.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex || !matches!(self.commit.len(), 40 | 64) {
            return Err(DraftError::Commit(self.commit.to_owned()));
        }
        if !is_version(self.version) {
            return Err(DraftError::Version);
        }
        let eif = crate::Eif::parse(self.eif)?;
        // Ramdisks of `dauth eif build` are not compressed.
        let holds = |ramdisk: &&[u8]| position_of(ramdisk, self.enclave).is_some();
        if self.enclave.is_empty() || !eif.ramdisks().iter().any(holds) {
            return Err(DraftError::OtherProgram);
        }
        let measured = eif.measure().map_err(crate::EifError::from)?;
        Ok(Manifest {
            manifest_type: ManifestType::Release1,
            version: self.version.to_owned(),
            commit: self.commit.to_ascii_lowercase(),
            pcrs: ImagePcrs {
                pcr0: measured.pcr0,
                pcr1: measured.pcr1,
                pcr2: measured.pcr2,
            },
            eif_sha256: Sha256::of(self.eif),
            enclave_sha256: Sha256::of(self.enclave),
        })
    }
}

impl Manifest {
    /// The bytes to sign: readable JSON, with a line break at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The manifest, if `signature` (a minisign file) is `key`'s over these very bytes.
    pub fn verify(bytes: &[u8], signature: &str, key: &ReleaseKey) -> Result<Self, TrustError> {
        key.verify(bytes, signature)?;
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| TrustError::Malformed(e.to_string()))?;
        if !is_version(&manifest.version) {
            return Err(TrustError::Malformed("its version is none".to_owned()));
        }
        Ok(manifest)
    }
}

fn is_version(version: &str) -> bool {
    (1..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_graphic())
}

/// Where `needle` begins. It begins with bytes that are rare, so that this reads the hay once.
fn position_of(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let start = needle.get(..needle.len().min(64))?;
    hay.windows(start.len().max(1))
        .enumerate()
        .filter(|(_, window)| *window == start)
        .map(|(at, _)| at)
        .find(|&at| hay.get(at..).is_some_and(|rest| rest.starts_with(needle)))
}

#[cfg(test)]
mod tests;
