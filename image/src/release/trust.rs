//! A file of values to trust: a signed manifest, or PCRs that the reader found out otherwise.
use core::fmt;
use std::collections::BTreeMap;

use dauth_protocol::measurement::Pcr;
use serde::{
    Deserialize,
    de::{Error as _, MapAccess, Visitor},
};

use super::{MAX_TRUST_FILE_BYTES, Manifest, ReleaseKey};

/// PCRs to require of evidence, and the release that they are of where a manifest said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pcrs: BTreeMap<u16, Pcr>,
    release: Option<Manifest>,
}

/// A trust file with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct TrustFile<'a> {
    /// The file: a release manifest, or JSON or TOML of `{pcrs: {"0": HEX, …}}`.
    pub contents: &'a [u8],
    /// The minisign file beside it, where there is one.
    pub signature: Option<&'a str>,
    /// The release key, where the caller named one.
    pub key: Option<&'a ReleaseKey>,
}

/// The file's values cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Longer than such a file is.
    #[error("longer than {MAX_TRUST_FILE_BYTES} bytes")]
    TooLong,
    /// Neither a manifest nor PCRs.
    #[error("neither a release manifest nor PCR values: {0}")]
    Malformed(String),
    /// A manifest without the key that it is to be verified with.
    #[error("a release manifest is trusted by its signature: name the key with --release-key")]
    NoKey,
    /// A manifest without its signature.
    #[error("the release manifest has no signature beside it (.minisig)")]
    NoSignature,
    /// A key was named, and the file is none that it signs: without this refusal, whoever can write
    /// the file would replace the manifest by plain values.
    #[error("not a release manifest, and a release key verifies nothing else")]
    NotAManifest,
    /// The signature is no minisign file.
    #[error("the signature is not a minisign signature")]
    SignatureMalformed,
    /// The signature is in minisign's old format.
    #[error("the signature is in minisign's old format: sign again, with minisign 0.10 or later")]
    Legacy,
    /// Another key signed it.
    #[error("the signature was made by another key than the release key")]
    OtherKey,
    /// The signature is not over these bytes.
    #[error("the signature is wrong: the manifest was changed, or the signature")]
    Forged,
    /// PCR0 is not among the values.
    #[error("PCR0 is missing: without it any image would pass")]
    NoPcr0,
    /// Zero is what an enclave in debug mode has, whose memory its parent reads.
    #[error("PCR{0} is zero, which is the value of an enclave in debug mode")]
    Zero(u16),
}

/// Values without a signature: their reader vouches for them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    pcrs: Registers,
}

/// What tells a manifest from plain values.
#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    _manifest_type: serde_json::Value,
}

impl Trust {
    /// Reads a trust file. A manifest is believed when its signature is the release key's; plain
    /// values are believed as they are, unless the caller named a release key.
    pub fn read(file: &TrustFile<'_>) -> Result<Self, TrustError> {
        if file.contents.len() > MAX_TRUST_FILE_BYTES {
            return Err(TrustError::TooLong);
        }
        let is_manifest = serde_json::from_slice::<Typed>(file.contents).is_ok();
        let trust = match (is_manifest, file.key) {
            (true, None) => return Err(TrustError::NoKey),
            (true, Some(key)) => {
                let signature = file.signature.ok_or(TrustError::NoSignature)?;
                Self::of_release(Manifest::verify(file.contents, signature, key)?)
            }
            (false, Some(_)) => return Err(TrustError::NotAManifest),
            (false, None) => Self {
                pcrs: plain(file.contents)?.pcrs.0,
                release: None,
            },
        };
        trust.checked()
    }

    fn of_release(release: Manifest) -> Self {
        let pcrs = &release.pcrs;
        Self {
            pcrs: BTreeMap::from([(0, pcrs.pcr0), (1, pcrs.pcr1), (2, pcrs.pcr2)]),
            release: Some(release),
        }
    }

    fn checked(self) -> Result<Self, TrustError> {
        if !self.pcrs.contains_key(&0) {
            return Err(TrustError::NoPcr0);
        }
        // Others may be zero: PCR3 is, without an instance role.
        match self.pcrs.iter().find(|(n, v)| **n <= 2 && **v == Pcr::ZERO) {
            Some((index, _)) => Err(TrustError::Zero(*index)),
            None => Ok(self),
        }
    }

    /// The PCRs to require, in order.
    pub fn pcrs(&self) -> impl Iterator<Item = (u16, Pcr)> {
        self.pcrs.iter().map(|(index, value)| (*index, *value))
    }

    /// The release, where a signed manifest named it.
    pub fn release(&self) -> Option<&Manifest> {
        self.release.as_ref()
    }
}

fn plain(contents: &[u8]) -> Result<Plain, TrustError> {
    let malformed = |reason: String| TrustError::Malformed(reason);
    let text = core::str::from_utf8(contents).map_err(|e| malformed(e.to_string()))?;
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| malformed(e.to_string()))
    } else {
        toml::from_str(text).map_err(|e| malformed(e.message().to_owned()))
    }
}

/// Registers by number; a number that comes twice is refused, not the last one taken.
struct Registers(BTreeMap<u16, Pcr>);

impl<'de> Deserialize<'de> for Registers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Registers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("PCR values by number, as in {\"0\": \"8af1…\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Registers, A::Error> {
                let mut registers = BTreeMap::new();
                while let Some((index, value)) = map.next_entry::<String, Pcr>()? {
                    let number = index
                        .parse()
                        .ok()
                        .filter(|number: &u16| *number < 32 && number.to_string() == index)
                        .ok_or_else(|| A::Error::custom("a PCR's number is 0 to 31"))?;
                    if registers.insert(number, value).is_some() {
                        return Err(A::Error::custom(format!("PCR{number} is there twice")));
                    }
                }
                Ok(Registers(registers))
            }
        }
        deserializer.deserialize_map(Each)
    }
}
