//! An image that a key policy names, by its registers.
use std::collections::BTreeMap;

use crate::measurement::{CONFIGURATION_PCR, Pcr};

/// The condition key for PCR0. An attestation of another kind than a Nitro enclave's has none.
pub(super) const IMAGE: &str = "kms:RecipientAttestation:ImageSha384";
const IMAGE_PCR: u16 = 0;
const PCRS: u16 = 32;

/// An image and the configuration that it is started with: PCR0 and PCR16 at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedImage(BTreeMap<u16, Pcr>);

impl AttestedImage {
    /// The image of these registers. Others may be given beside PCR0 and PCR16, not instead.
    pub fn new(registers: impl Into<BTreeMap<u16, Pcr>>) -> Result<Self, InvalidImage> {
        let registers = registers.into();
        for (index, value) in &registers {
            if *index >= PCRS {
                return Err(InvalidImage::Register(*index));
            }
            if *value == Pcr::ZERO {
                return Err(InvalidImage::Zero(*index));
            }
        }
        if !registers.contains_key(&IMAGE_PCR) {
            return Err(InvalidImage::NoImage);
        }
        if !registers.contains_key(&CONFIGURATION_PCR) {
            return Err(InvalidImage::NoConfiguration);
        }
        Ok(Self(registers))
    }

    /// Its registers, PCR0 and PCR16 among them.
    pub fn registers(&self) -> &BTreeMap<u16, Pcr> {
        &self.0
    }

    /// Condition keys and the values that a document must have for them, all of them.
    pub(super) fn conditions(&self) -> BTreeMap<String, String> {
        let name = |index: &u16| match *index {
            IMAGE_PCR => IMAGE.to_owned(),
            index => format!("kms:RecipientAttestation:PCR{index}"),
        };
        self.0
            .iter()
            .map(|(index, value)| (name(index), value.to_string()))
            .collect()
    }
}

/// Why registers name no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// PCR0 is missing.
    #[error(
        "PCR0 is missing: it is the image. PCR8 alone would trust a signer with every image, also \
         ones not made yet"
    )]
    NoImage,
    /// PCR16 is missing.
    #[error(
        "PCR16 is missing: it is the deployment configuration. PCR0 alone would trust this image \
         with every configuration, also one that names another issuer of tokens"
    )]
    NoConfiguration,
    /// A register is zero.
    #[error(
        "PCR{0} is zero: nothing was measured into it, as in debug mode, where the parent can read \
         the enclave's memory"
    )]
    Zero(u16),
    /// There is no such register.
    #[error("there is no PCR{0}: registers are 0 to 31")]
    Register(u16),
}
