//! Platform configuration registers, and the measurement of a deployment.
use core::{fmt, str::FromStr};

use sha2::{Digest, Sha384};

/// The register that a deployment configuration is measured into.
pub const CONFIGURATION_PCR: u16 = 16;

/// The value of a PCR: SHA-384, 48 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pcr([u8; 48]);

impl Pcr {
    /// The value before anything is measured.
    pub const ZERO: Pcr = Pcr([0; 48]);

    /// The value after `data` is extended: SHA384(old ‖ data), as the NSM computes it.
    #[must_use]
    pub fn extend(self, data: &[u8]) -> Pcr {
        Pcr(Sha384::new()
            .chain_update(self.0)
            .chain_update(data)
            .finalize()
            .into())
    }

    /// PCR16 of a deployment configuration: its SHA-384, extended once.
    ///
    /// ```
    /// use dauth_protocol::measurement::Pcr;
    /// let pcr16 = Pcr::of_configuration(b"{}");
    /// assert_eq!(pcr16.to_string().len(), 96);
    /// ```
    pub fn of_configuration(configuration: &[u8]) -> Pcr {
        Pcr::ZERO.extend(&Sha384::digest(configuration))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

impl From<[u8; 48]> for Pcr {
    fn from(bytes: [u8; 48]) -> Self {
        Pcr(bytes)
    }
}

impl FromStr for Pcr {
    type Err = InvalidPcr;

    /// Parses 96 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, InvalidPcr> {
        let mut bytes = [0; 48];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidPcr)?;
        Ok(Pcr(bytes))
    }
}

impl TryFrom<String> for Pcr {
    type Error = InvalidPcr;

    fn try_from(text: String) -> Result<Self, InvalidPcr> {
        text.parse()
    }
}

impl From<Pcr> for String {
    fn from(pcr: Pcr) -> Self {
        pcr.to_string()
    }
}

impl serde::Serialize for Pcr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Pcr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Pcr {
    /// Lower-case hexadecimal, as KMS compares it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no PCR value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PCR value: expected 96 hexadecimal digits")]
pub struct InvalidPcr;
